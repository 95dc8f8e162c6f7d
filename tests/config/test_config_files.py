"""Reading one config.toml."""

from __future__ import annotations

import pytest

from anipipe.config import read_layer
from anipipe.errors import ConfigError


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "config.toml"

    def write(content):
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return write


def fault(path):
    with pytest.raises(ConfigError) as caught:
        read_layer(path)
    return str(caught.value)


def test_values_are_those_of_the_file(file):
    path = file('nesting = 1\n[filter]\nenabled = true\n[cameras."left side"]\noffset = [1, 2]\n')
    layer = read_layer(path)
    assert layer.path == path
    assert layer.values == {
        "nesting": 1,
        "filter": {"enabled": True},
        "cameras": {"left side": {"offset": [1, 2]}},
    }


@pytest.mark.parametrize("content", [b"", b"\xef\xbb\xbfnesting = 1\r\n", 'project = "Süd"\n'.encode()])
def test_empty_files_byte_order_marks_and_accents_are_read(file, content):
    read_layer(file(content))


def test_syntax_error_shows_the_line(file):
    path = file("nesting = 1\n[filter]\nmedfilt = = 3\n")
    assert fault(path) == f"{path}, line 3, column 11: Invalid value\n    medfilt = = 3\n              ^"


def test_syntax_error_at_the_end_shows_the_last_line(file):
    path = file('project = """fly\n\n')
    message = fault(path)
    assert message.startswith(f"{path}, line 1, column 17: ")
    assert 'project = """fly' in message


def test_key_written_twice_is_an_error(file):
    path = file("nesting = 1\nnesting = 2\n")
    assert f"{path}, line 2" in fault(path)


def test_windows_path_in_double_quotes_brings_advice(file):
    path = file(r'model_folder = "C:\Users\lab\net"' + "\n")
    message = fault(path)
    assert f"{path}, line 1" in message
    assert "single quotes" in message


def test_other_encodings_are_named_with_their_line(file):
    path = file("nesting = 1\nproject = 'Süd'\n".encode("latin-1"))
    assert fault(path) == f"{path}, line 2: not UTF-8 (byte 0xfc); save the file as UTF-8"


def test_missing_file_and_folder(tmp_path):
    assert fault(tmp_path / "config.toml") == f"{tmp_path / 'config.toml'}: no such file"
    assert str(tmp_path) in fault(tmp_path)


def test_unreadable_file(file, monkeypatch):
    def refuse(path, *, limit):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("anipipe.config.layers.read_regular", refuse)
    path = file("nesting = 1\n")
    assert fault(path) == f"{path}: cannot be read: Permission denied"


def test_endless_nesting_is_an_error(file):
    assert "too deeply" in fault(file("a = " + "[" * 5_000))
