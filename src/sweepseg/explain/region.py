"""The place in a picture that is asked about."""

from dataclasses import dataclass

from torch import Tensor

from ..errors import UsageError


@dataclass(frozen=True)
class Region:
    """Rows ``top`` to ``bottom`` - 1 and columns ``left`` to ``right`` - 1.

    >>> Region.of_pixel(3, 5)
    Region(top=3, left=5, bottom=4, right=6)
    """

    top: int
    left: int
    bottom: int
    right: int

    @classmethod
    def of_pixel(cls, row: int, column: int) -> "Region":
        """One pixel."""
        return cls(row, column, row + 1, column + 1)

    @property
    def centre(self) -> tuple[float, float]:
        """Row and column of its middle; pixel centres are whole numbers."""
        return (self.top + self.bottom - 1) / 2, (self.left + self.right - 1) / 2

    def crop(self, maps: Tensor) -> Tensor:
        """Its part of maps (..., H, W)."""
        return maps[..., self.top : self.bottom, self.left : self.right]


def check_region(region: Region, image: Tensor) -> None:
    """Refuse a region that is empty or leaves the image (..., H, W).

    Raises:
        UsageError: It does.
    """
    height, width = image.shape[-2:]
    if not (0 <= region.top < region.bottom <= height and 0 <= region.left < region.right <= width):
        place = f"rows {region.top} to {region.bottom - 1}, columns {region.left} to {region.right - 1}"
        raise UsageError(f"the picture has {height} rows and {width} columns; {place} do not lie in it")
