function session_config_from_roi(session, rois, cameras)
%SESSION_CONFIG_FROM_ROI  Write the ROIs that cameras recorded into a session's config.toml.
%
%   session_config_from_roi(SESSION, ROIS) writes cameras.NAME.offset into config.toml in the folder
%   SESSION: the top-left corner [x, y] of what was recorded, in the picture that was calibrated, in pixels
%   from 0. ROIS is one of the following, or a cell array of several:
%
%     a struct          with a field for each camera, [x y width height] or [x y]. With the Image
%                       Acquisition Toolbox: rois.A = vid.ROIPosition
%     'FILE.toml'       of all cameras: for each a section [cameras.NAME] or [cameras.NAME.video] with
%                       roi = [x, y, width, height], ROIPosition, or OffsetX and OffsetY, each on one line
%     'FILE.csv'        of all cameras: the line camera,x,y or camera,x,y,width,height, then one for each
%     'NAME=FILE.pfs'   of the camera NAME: what Basler's pylon Viewer saves; without NAME= the file is
%                       called so
%
%   session_config_from_roi(SESSION, ROIS, CAMERAS) writes those of the cell array CAMERAS only, each of
%   which must have an ROI.
%
%   What config.toml says already stays; if it says another offset, nothing is written. The file is the one
%   that session_config_from_roi.py writes, which understands all of TOML.
%
%   Runs in Matlab, without toolboxes, and in Octave.

if exist(session, 'dir') ~= 7
    fault('%s is no folder', session);
end
if ~iscell(rois)
    rois = {rois};
end
found = none();
for index = 1:numel(rois)
    for one = corners(rois{index})
        if any(strcmp({found.name}, one.name))
            fault('camera %s has more than one ROI', one.name);
        end
        found(end + 1) = one; %#ok<AGROW>
    end
end
if nargin > 2
    found = chosen(found, cameras);
end
if isempty(found)
    fault('no camera in what was given');
end

path = fullfile(session, 'config.toml');
before = '';
if exist(path, 'file') == 2
    before = read(path);
end
text = before;
if isempty(text)
    text = sprintf('# What differs in this session.\n');
end
for one = found
    text = added(path, text, one);
end
listed = strjoin(cellfun(@(name, xy) sprintf('%s %s', name, shown(xy)), ...
    {found.name}, {found.corner}, 'UniformOutput', false), ', ');
if strcmp(text, before)
    fprintf('%s says so already: %s\n', path, listed);
else
    write(path, text);
    fprintf('wrote %s: %s\n', path, listed);
end
end


function found = none()
found = struct('name', {}, 'corner', {}, 'from', {});
end


function fault(varargin)
error('anipipe:roi', varargin{:});
end


function text = read(path)
% Return a file's bytes, one for each character, so that they are written as they were read.
file = fopen(path, 'r');
if file < 0
    fault('%s cannot be read', path);
end
text = char(fread(file, [1 Inf], '*uint8'));
fclose(file);
mark = char([239 187 191]);  % of byte order
if strncmp(text, mark, 3)
    text = text(4:end);
end
end


function write(path, text)
new = [path '.new'];  % so that a half-written file never takes the old one's place
file = fopen(new, 'w');
if file < 0
    fault('%s cannot be written', new);
end
fwrite(file, uint8(text));
fclose(file);
[done, why] = movefile(new, path, 'f');
if ~done
    fault('%s cannot be written: %s', path, why);
end
end


function lines = lines_of(text)
lines = strsplit(strrep(text, char(13), ''), char(10), 'CollapseDelimiters', false);
end


function name = utf8(name)
% Return a name as bytes, as it stands in files.
name = char(unicode2native(name, 'UTF-8'));
end


function found = chosen(found, cameras)
places = zeros(1, numel(cameras));
for index = 1:numel(cameras)
    place = find(strcmp({found.name}, utf8(cameras{index})));
    if isempty(place)
        fault('camera %s has no ROI; there are those of %s', cameras{index}, strjoin({found.name}, ', '));
    end
    places(index) = place;
end
found = found(places);
end


function found = corners(source)
% Return the corners that a struct or a file tells.
found = none();
if isstruct(source)
    for name = fieldnames(source)'
        found(end + 1) = camera(name{1}, num2cell(source.(name{1})), 'Matlab', 'the struct'); %#ok<AGROW>
    end
    return
end
[~, ~, kind] = fileparts(source);
switch lower(kind)
    case '.toml'
        found = from_toml(source);
    case '.csv'
        found = from_csv(source);
    case '.pfs'
        at = find(source == '=', 1, 'last');
        path = source(max([0 at]) + 1:end);
        [~, name] = fileparts(path);
        if ~isempty(at)
            name = source(1:at - 1);
        end
        found = from_pfs(utf8(name), path);
    otherwise
        fault('%s is neither FILE.toml, nor FILE.csv, nor NAME=FILE.pfs', source);
end
end


function one = camera(name, values, from, where)
% Return name and corner of a camera, from the numbers of its ROI, which may be text.
where = sprintf('%s: camera %s', where, name);
if isempty(name)
    fault('%s: a camera has no name', from);
end
if ~any(numel(values) == [2 4])
    fault('%s: an ROI is 2 or 4 numbers, x, y, width, height, not %d', where, numel(values));
end
numbers = zeros(1, numel(values));
for index = 1:numel(values)
    value = values{index};
    if ischar(value)
        numbers(index) = str2double(value);
    elseif isnumeric(value)
        numbers(index) = value;
        value = num2str(value);
    else
        numbers(index) = NaN;
        value = class(value);
    end
    if ~isreal(numbers(index)) || ~isfinite(numbers(index))
        fault('%s: %s is not a number', where, value);
    end
end
if any(numbers(1:2) < 0)
    fault('%s: the corner %s is negative, outside the picture', where, shown(numbers(1:2)));
end
if any(numbers(3:end) <= 0)
    fault('%s: width and height must be more than 0', where);
end
one = struct('name', name, 'corner', numbers(1:2), 'from', from);
end


function text = shown(corner)
text = sprintf('[%s, %s]', num2str(corner(1), 15), num2str(corner(2), 15));
end


function name = name_of(path)
[~, name, kind] = fileparts(path);
name = utf8([name kind]);
end


function one = camera_with(name, settings, path)
% Return name and corner of a camera, from what is set for it: a struct of texts.
for field = {'roi', 'ROI', 'ROIPosition'}
    if isfield(settings, field{1})
        inside = regexp(settings.(field{1}), '^\[(.*?),?\s*\]$', 'tokens', 'once');
        if isempty(inside)
            inside = {settings.(field{1})};
        end
        values = strtrim(strsplit(inside{1}, ',', 'CollapseDelimiters', false));
        one = camera(name, values, name_of(path), path);
        return
    end
end
if ~isfield(settings, 'OffsetX') || ~isfield(settings, 'OffsetY')
    fault('%s: camera %s has no ROI: neither roi, ROI, ROIPosition, nor OffsetX and OffsetY', path, name);
end
values = {};
for field = {'OffsetX', 'OffsetY', 'Width', 'Height'}
    if isfield(settings, field{1})
        values{end + 1} = settings.(field{1}); %#ok<AGROW>
    end
end
one = camera(name, values, name_of(path), path);
end


function found = from_toml(path)
% Read sections [cameras.NAME] and [cameras.NAME.video] line by line; refuse what says it otherwise.
lines = lines_of(read(path));
names = {};
settings = {};
current = 0;
for index = 1:numel(lines)
    line = strtrim(regexprep(lines{index}, '#.*$', ''));
    section = regexprep(line, '\.\s*video\s*\]$', ']');
    header = regexp(section, '^\[\s*cameras\s*\.\s*("[^"\\]+"|[\w-]+)\s*\]$', 'tokens', 'once');
    if ~isempty(header)
        name = strrep(header{1}, '"', '');
        current = find(strcmp(names, name));
        if isempty(current)
            names{end + 1} = name; %#ok<AGROW>
            settings{end + 1} = struct(); %#ok<AGROW>
            current = numel(names);
        end
    elseif ~isempty(regexp(line, '^\[\s*cameras\s*\]$', 'once'))
        current = -1;
    elseif strncmp(line, '[', 1)
        current = 0;
    elseif current > 0
        entry = regexp(line, '^([A-Za-z]\w*)\s*=\s*(.*)$', 'tokens', 'once');
        if ~isempty(entry)
            settings{current}.(entry{1}) = entry{2};
        end
    end
    elsewhere = ~isempty(regexp(line, '^\[?\s*"?cameras"?\s*[.=]', 'once'));
    if (isempty(header) && elsewhere) || (current < 0 && any(line == '='))
        fault(['%s, line %d: cameras are read only from sections [cameras.NAME], each with a line of its ' ...
            'own; session_config_from_roi.py reads all of TOML'], path, index);
    end
end
if isempty(names)
    fault('%s has no section [cameras.NAME]', path);
end
found = none();
for index = 1:numel(names)
    found(end + 1) = camera_with(names{index}, settings{index}, path); %#ok<AGROW>
end
end


function found = from_csv(path)
% Read a csv file; in many countries Excel writes semicolons for commas.
lines = lines_of(strrep(read(path), '"', ''));
delimiter = ',';
if any(lines{1} == ';')
    delimiter = ';';
end
cells = cellfun(@(line) strtrim(strsplit(line, delimiter, 'CollapseDelimiters', false)), lines, ...
    'UniformOutput', false);
head = strjoin(cells{1}, ',');
if ~any(strcmp(head, {'camera,x,y', 'camera,x,y,width,height'}))
    fault('%s: the first line must be camera,x,y or camera,x,y,width,height', path);
end
found = none();
for row = cells(2:end)
    name = row{1}{1};
    values = row{1}(2:end);
    if ~all(cellfun(@isempty, values))
        found(end + 1) = camera(name, values, name_of(path), path); %#ok<AGROW>
    elseif ~isempty(name)
        fault('%s: camera %s has no ROI', path, name);
    end
end
end


function one = from_pfs(name, path)
% Read a feature file of pylon: names and values, separated by tabs.
wanted = {'OffsetX', 'OffsetY', 'Width', 'Height', 'CenterX', 'CenterY'};
settings = struct();
for line = lines_of(read(path))
    cells = strtrim(strsplit(line{1}, char(9), 'CollapseDelimiters', false));
    feature = cells{1};
    if numel(cells) < 2 || ~any(strcmp(feature, wanted))
        continue
    end
    if isfield(settings, feature) && ~strcmp(settings.(feature), cells{end})
        fault('%s: camera %s: %s has several values; write the right one into a csv file', ...
            path, name, feature);
    end
    settings.(feature) = cells{end};
end
for side = 'XY'
    centred = isfield(settings, ['Center' side]) && strcmp(settings.(['Center' side]), '1');
    if centred && ~isfield(settings, ['Offset' side])
        fault(['%s: camera %s: the camera centred the picture (Center%s = 1), and where that is the file ' ...
            'does not tell; write the corner into a csv file'], path, name, side);
    end
end
one = camera_with(name, settings, path);
end


function text = added(path, text, one)
% Return a config.toml with the offset of a camera if it lacks that, all else as it was.
bare = ~isempty(regexp(one.name, '^[A-Za-z0-9_-]+$', 'once'));
key = one.name;
if ~bare
    key = ['"' strrep(strrep(one.name, '\', '\\'), '"', '\"') '"'];
end
setting = sprintf('offset = %s  # px, from %s', shown(one.corner), one.from);
ending = char(10);
if any(text == char(13))
    ending = char([13 10]);
end
lines = strsplit(text, char(10), 'CollapseDelimiters', false);
at = 0;
for index = 1:numel(lines)
    line = strtrim(regexprep(lines{index}, '#.*$', ''));
    header = regexp(line, '^\[\s*cameras\s*\.\s*("[^"\\]+"|[\w-]+)\s*\]$', 'tokens', 'once');
    if ~isempty(header) && strcmp(strrep(header{1}, '"', ''), one.name)
        at = index;
    elseif isempty(header) && ~isempty(strfind(line, 'cameras')) %#ok<STREMP>
        fault(['%s, line %d says something of cameras otherwise than in a section [cameras.NAME], where ' ...
            'nothing can be added safely; set there cameras.%s.offset = %s'], ...
            path, index, key, shown(one.corner));
    end
end
if at == 0
    text = [deblank(text) ending ending '[cameras.' key ']' ending setting ending];
    return
end
for index = at + 1:numel(lines)
    line = strtrim(regexprep(lines{index}, '#.*$', ''));
    if strncmp(line, '[', 1)
        break
    end
    said = regexp(line, '^"?offset"?\s*=\s*(.*)$', 'tokens', 'once');
    if ~isempty(said)
        values = str2double(strsplit(regexprep(said{1}, '[\[\]]', ''), ','));
        if isequal(values, one.corner)
            return
        end
        fault(['%s says cameras.%s.offset = %s, and %s says %s; take that line out if it is wrong, and ' ...
            'run this again. Nothing was written'], path, key, said{1}, one.from, shown(one.corner));
    end
end
lines{at} = [strrep(lines{at}, char(13), '') ending(1:end - 1) char(10) setting ending(1:end - 1)];
text = strjoin(lines, char(10));
end
