"""Calibration by bundle adjustment over cameras and rigid boards.

Lenses start from each camera's own views, places from the poses of the board that cameras share. All corners
are then fitted together, robustly; terms of the lenses that the recordings do not determine are fixed; the
worst corners of each camera are left out, and the rest is fitted again. Nothing is drawn by lot.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from anipipe.numerics.calibration.animal import placed_points
from anipipe.numerics.calibration.bodies import Bodies, Freedom, Sights, State, sights_of
from anipipe.numerics.calibration.bundle import Adjusted, adjust
from anipipe.numerics.calibration.lens_start import ESTIMATED, one_thread
from anipipe.numerics.calibration.placing import SCALE, board_residuals, place_boards, transforms
from anipipe.numerics.calibration.selection import at_instants, chosen_instants
from anipipe.numerics.calibration.solution import Solution
from anipipe.numerics.calibration.start import Start, Wish, check_start, in_world, start
from anipipe.numerics.calibration.uncertainty import FOCAL_LENGTH, deviations, undetermined
from anipipe.numerics.calibration.views import BoardViews, usable
from anipipe.numerics.cameras import Camera, Rig
from anipipe.numerics.lenses import Floats

ENGINE = "anipipe"
DROPPED = 0.025  # share of each camera's corners that is left out after the first solution
CHANCE = 7.0  # times a camera's typical error, beyond which a corner is wrong however few such there are
FAR = 0.01  # of a picture's diagonal: an animal's points that are off by more were not seen by these cameras
WORSE = 1.1  # times the corners' error without an animal: more is not chance
_ANOTHER_KIND = (
    "Were its videos made with the board's picture size, crop and cameras, frame by frame at the same time?"
)
COARSE = 1e-4  # relative decrease at which a rougher scale has served


def calibrate(
    views: BoardViews,
    board_points: ArrayLike,
    *,
    init: Rig | None = None,
    wish: Wish | None = None,
    animal: ArrayLike | None = None,
) -> Solution:
    """Calibrate cameras by the board that they saw.

    Parameters
    ----------
    views
        The board's corners in the cameras' images.
    board_points
        (corners, 3), on the board, flat, in the board's length unit.
    init
        Cameras to start from, matched by name; others in it are left out. Lenses start from it, and whatever
        ``wish`` fixes stays as it is. Places that are not fixed start from the board's poses.
    wish
        What is estimated, and what is kept.
    animal
        (cameras, points, 2) px, cameras as in the views, NaN where unseen: points of an animal that take part
        by their own exactness, while the board keeps the scale.

    Returns
    -------
    The cameras, and what they rest on. Two calls give the same bits, as long as BLAS has the same number of
    threads.

    Raises
    ------
    DataError
        Views or an ``init`` that no calibration can come of (see
        :func:`~anipipe.numerics.calibration.start.check_start`), or a world that shows no board.
    """
    wish = wish or Wish()
    board = np.asarray(board_points, dtype=np.float64)
    given = check_start(views, board, init, wish)
    with one_thread():
        chosen = chosen_instants(views, usable(views, board))
        begun = start(at_instants(views, chosen), board, given, wish)
        return solve(views, board, begun, chosen, wish=wish, animal=animal)


def solve(
    views: BoardViews,
    board: Floats,
    begun: Start,
    chosen: NDArray[np.intp],
    *,
    wish: Wish,
    animal: ArrayLike | None = None,
) -> Solution:
    """Adjust a first solution.

    Parameters
    ----------
    views, board, wish, animal
        As for :func:`calibrate`.
    begun
        Where to start, of the chosen instants.
    chosen
        Their indices among all.
    """
    fitting = _Fitting.of(at_instants(views, chosen), board, begun, wish)
    adjusted = fitting.determined(fitting.coarsely())
    adjusted, kept = fitting.without_the_worst(adjusted.state)
    together = None if animal is None else fitting.joined_by(np.asarray(animal, float), adjusted.state, kept)
    if together is not None:
        adjusted, kept = together

    known = np.full((len(views.instants), 4, 4), np.nan)
    known[chosen] = transforms(adjusted.state.kinds[0])
    boards = place_boards(views, adjusted.state.cameras, board, known=known)
    cameras, boards, turn = in_world(adjusted.state.cameras, boards, views, wish)
    residuals = board_residuals(views.pixels, cameras, boards, board)
    everywhere = np.zeros(residuals.shape[:-1], dtype=bool)
    everywhere[:, chosen] = kept
    off = np.linalg.norm(residuals[everywhere], axis=-1)
    metadata = {
        "adjusted": together is not None,
        "error": float(np.median(off)),
        "engine": ENGINE,
        "units": wish.units,
    }
    known_to = deviations(adjusted, fitting.freedoms, turn[:3, :3], off, SCALE, DROPPED)
    return Solution(
        Rig(cameras, metadata),
        boards,
        residuals,
        everywhere,
        known_to,
        tuple(fitting.guessed),
        tuple(fitting.remarks),
    )


def _freedoms(cameras: Sequence[Camera], wish: Wish) -> tuple[Freedom, ...]:
    """Return what may change of each camera; the first one's place is the world's, wherever that is later."""
    bending = "intrinsics" not in wish.fix
    return tuple(
        Freedom(
            placed=index > 0 and "extrinsics" not in wish.fix,
            focal=bending,
            axis=bending and wish.axis,
            bends=ESTIMATED[wish.distortion][camera.fisheye] if bending else (),
        )
        for index, camera in enumerate(cameras)
    )


def _bodies(boards: Floats) -> Bodies:
    """Return the boards; those whose pose is not known lie anywhere, as nothing is seen of them."""
    there = np.where(np.isfinite(boards[:, :1, :1]), boards, np.eye(4))
    return Bodies(there[:, :3, 3], there[:, :3, :3])


@dataclass
class _Fitting:
    """What is to be fitted, and what may change; terms are fixed on the way."""

    pixels: Floats
    board: Floats
    freedoms: tuple[Freedom, ...]
    begun: Start
    animal: list[Sights] | None = None
    guessed: list[str] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)

    @classmethod
    def of(cls, views: BoardViews, board: Floats, begun: Start, wish: Wish) -> _Fitting:
        pixels = np.where(np.isfinite(begun.boards[:, :1, :1]), views.pixels, np.nan)
        return cls(pixels, board, _freedoms(begun.cameras, wish), begun)

    def sights(self, kept: NDArray[np.bool_] | None = None) -> list[list[Sights]]:
        pixels = self.pixels if kept is None else np.where(kept[..., None], self.pixels, np.nan)
        boards = [sights_of(view, self.board) for view in pixels]
        return [boards] if self.animal is None else [boards, self.animal]

    def coarsely(self) -> State:
        """Come near from afar: while most corners are far off, none of them counts as wrong."""
        state = State(self.begun.cameras, (_bodies(self.begun.boards),))
        sights, scale = self.sights(), np.inf
        while scale > SCALE:
            scale = min(max(2 * float(np.median(self._distances(state))), SCALE), scale / 2)
            state = adjust(state, sights, self.freedoms, scale=scale, settled=COARSE).state
        return state

    def determined(self, state: State) -> Adjusted:
        """Adjust all corners; fix terms that they do not determine, the least certain first."""
        while True:
            adjusted = self.adjusted(state)
            noise = _typical(self._distances(adjusted.state))
            found = undetermined(adjusted, self.freedoms, self.pixels, noise, self.begun.held)
            if not found:
                return adjusted
            cameras = list(adjusted.state.cameras)
            freedoms = list(self.freedoms)
            for index, term in found.items():
                cameras[index] = term.reset(cameras[index])
                freedoms[index] = term.without(freedoms[index])
                self.remarks.append(str(term))
                if term.name == FOCAL_LENGTH and not self.begun.given:
                    self.guessed.append(cameras[index].name)
            self.freedoms = tuple(freedoms)
            state = replace(adjusted.state, cameras=tuple(cameras))

    def without_the_worst(self, state: State) -> tuple[Adjusted, NDArray[np.bool_]]:
        """Leave out the worst corners, and adjust the rest; return also which were kept."""
        kept = self.judged(state)
        return self.adjusted(state, kept), kept

    def joined_by(
        self, animal: Floats, state: State, kept: NDArray[np.bool_]
    ) -> tuple[Adjusted, NDArray[np.bool_]] | None:
        """Let the animal's points take part, each pixel by how exact it is beside the board's.

        None where there are none, or where the corners, which are exact, fit worse for it: then the animal
        was filmed in pictures of another kind, or its cameras did not run in time.
        """
        pixels, points, typical = placed_points(animal, Rig(state.cameras))
        if not len(points):
            self.remarks.append("no points of the animal could be used: no two cameras agree on any")
            return None
        limit = FAR * min(float(np.hypot(*camera.size)) for camera in state.cameras if camera.size)
        if typical > limit:
            self.remarks.append(
                f"the animal's points lie {typical:.0f} px (median) from where the board's cameras see them: "
                f"they were left out. {_ANOTHER_KIND}"
            )
            return None
        alone = float(np.median(self._all_distances(state)[kept]))
        share = min(1.0, alone / max(typical, 1e-9))
        self.animal = [sights_of(view[:, None], np.zeros((1, 3)), share) for view in pixels]
        joined = replace(state, kinds=(state.kinds[0], Bodies(points)))
        adjusted, left = self.without_the_worst(self.adjusted(joined).state)
        together = float(np.median(self._all_distances(adjusted.state)[left]))
        if together <= WORSE * alone:
            return adjusted, left
        self.animal = None
        self.remarks.append(
            f"the animal's points contradict the board, whose corners fit to {alone:.2f} px without them and "
            f"to {together:.2f} px with them: they were left out. {_ANOTHER_KIND}"
        )
        return None

    def adjusted(self, state: State, kept: NDArray[np.bool_] | None = None) -> Adjusted:
        return adjust(state, self.sights(kept), self.freedoms, scale=SCALE)

    def judged(self, state: State) -> NDArray[np.bool_]:
        """Tell which corners to keep: not the worst of each camera, nor any that cannot be chance."""
        off = self._all_distances(state)
        kept = np.isfinite(off)
        for own, distances in zip(kept, off, strict=True):
            values = distances[own]
            if values.size:
                limit = min(np.quantile(values, 1 - DROPPED), CHANCE * _typical(values))
                own &= distances <= limit
        return kept

    def _all_distances(self, state: State) -> Floats:
        boards = state.kinds[0]
        residuals = board_residuals(self.pixels, state.cameras, transforms(boards), self.board)
        return np.asarray(np.linalg.norm(residuals, axis=-1))

    def _distances(self, state: State) -> Floats:
        off = self._all_distances(state)
        return np.asarray(off[np.isfinite(off)])


def _typical(distances: Floats) -> float:
    """Return the standard deviation of one coordinate that gives this median distance (Rayleigh)."""
    return float(np.median(distances) / np.sqrt(2 * np.log(2)))
