import pytest
import torch

from sweepseg.errors import UsageError
from sweepseg.explain.region import Region, check_region


def test_a_region_is_its_rows_and_columns():
    image = torch.arange(20.0).view(1, 4, 5)
    assert Region(1, 2, 3, 4).crop(image).flatten().tolist() == [7, 8, 12, 13]
    assert Region(1, 2, 3, 4).centre == (1.5, 2.5) and Region.of_pixel(1, 2).centre == (1, 2)


@pytest.mark.parametrize("region", [(0, 0, 5, 5), (0, 0, 4, 6), (-1, 0, 2, 2), (2, 2, 2, 3), (3, 0, 2, 1)])
def test_regions_that_leave_the_picture_are_refused(region):
    check_region(Region(0, 0, 4, 5), torch.zeros(1, 3, 4, 5))
    with pytest.raises(UsageError, match="4 rows and 5 columns; rows "):
        check_region(Region(*region), torch.zeros(1, 3, 4, 5))
