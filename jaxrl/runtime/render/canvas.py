"""A picture with coordinates of the scene's own, and smooth edges."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageColor, ImageDraw, ImageFont

from jaxrl.runtime.colours import BLUE, GREEN, INK, ORANGE, PAPER, PINK, RED, SKY, YELLOW

Point = tuple[float, float]

FAINT, GREY, WALL, ICE, SEA = "#d9d9d9", "#b0b0b0", "#777777", "#e8f4fb", "#cfe6f5"

LIGHT = (PAPER, FAINT, ICE, SEA)
DARK = (INK, GREY, WALL, BLUE, ORANGE, GREEN, PINK, SKY, RED, YELLOW)
SHADES = 12  # of each dark colour, towards paper: what smooth edges are made of

FINER = 4  # drawn larger by this, and then reduced
CAPTION = 26  # pixels


class Canvas(NamedTuple):
    """What a scene is drawn on. Its y points up; `scale` is in pixels."""

    image: Image.Image
    draw: ImageDraw.ImageDraw
    left: float
    top: float
    scale: float

    def at(self, point: Point) -> Point:
        """A point of the scene in pixels."""
        return (point[0] - self.left) * self.scale, (self.top - point[1]) * self.scale

    def line(self, points: Sequence[Point], colour: str, width: float) -> None:
        """A line through points, with round ends; its width is in units of the scene."""
        pixels = [self.at(point) for point in points]
        self.draw.line(pixels, colour, round(width * self.scale), joint="curve")
        for end in (points[0], points[-1]):
            self.disc(end, width / 2, colour)

    def disc(self, centre: Point, radius: float, colour: str) -> None:
        """A filled circle."""
        x, y = self.at(centre)
        size = radius * self.scale
        self.draw.ellipse((x - size, y - size, x + size, y + size), colour)

    def shape(self, points: Sequence[Point], colour: str) -> None:
        """A filled polygon."""
        self.draw.polygon([self.at(point) for point in points], colour)

    def box(self, centre: Point, width: float, height: float, colour: str) -> None:
        """A filled rectangle with round corners."""
        (x, y), across, up = self.at(centre), width * self.scale / 2, height * self.scale / 2
        corners = (x - across, y - up, x + across, y + up)
        self.draw.rounded_rectangle(corners, min(across, up) / 4, colour)

    def framed(self, caption: str) -> Image.Image:
        """The finished picture over a line of text."""
        scene = self.image.reduce(FINER)
        width, height = scene.size
        picture = Image.new("RGB", (width, height + CAPTION), PAPER)
        picture.paste(scene)
        place = (width / 2, height + CAPTION / 2)
        font = ImageFont.load_default(13)
        ImageDraw.Draw(picture).text(place, caption, INK, font, anchor="mm")
        return picture


def canvas(left: float, right: float, bottom: float, top: float, width: int = 400) -> Canvas:
    """A blank canvas that shows a part of a scene, `width` pixels wide."""
    scale = width / (right - left)
    height = round((top - bottom) * scale)
    image = Image.new("RGB", (width * FINER, height * FINER), PAPER)
    return Canvas(image, ImageDraw.Draw(image), left, top, scale * FINER)


def cells(board: np.ndarray, width: int = 360) -> Canvas:
    """A board [rows, columns] of the names of colours, a square for each, rows from the top."""
    num_rows, num_columns = board.shape
    made = canvas(0, num_columns, -num_rows, 0, width)
    made.draw.rectangle((0, 0, *made.image.size), FAINT)
    for (row, column), colour in np.ndenumerate(board):
        made.box(middle(row, column), 0.94, 0.94, str(colour))
    return made


def middle(row: float, column: float) -> Point:
    """The centre of a square of a board."""
    return column + 0.5, -row - 0.5


def palette() -> Image.Image:
    """The colours of all pictures, at most 256; they do not flicker where pictures share them."""
    light, dark = (np.array([ImageColor.getrgb(x) for x in names]) for names in (LIGHT, DARK))
    shares = np.linspace(1, 0, SHADES, endpoint=False)[:, None, None]
    shades = light[0] + shares * (dark - light[0])
    entries = np.concatenate([light, shades.reshape(-1, 3)])
    made = Image.new("P", (1, 1))
    made.putpalette(entries.round().astype(int).reshape(-1).tolist())
    return made
