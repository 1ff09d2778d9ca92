"""The verb `explain`."""

from typing import Literal


def explain(
    image: str,
    output: str = "explained.png",
    model: str | None = None,
    at: tuple[int, int] | None = None,
    region: tuple[int, int, int, int] | None = None,
    class_name: str | None = None,
    method: Literal["saliency", "integrated_gradients"] = "integrated_gradients",
    receptive_field: bool = False,
    control: str | None = None,
    json: bool = False,
    quiet: bool = False,
) -> int:
    """Draw which pixels of a picture decided the class of one place, or how far the model sees from there.

    Args:
        image: The picture.
        output: PNG file to draw into.
        model: Model folder; by default the nuclei model that comes with sweepseg.
        at: Row and column of the place, such as [120,80]; by default the middle of the picture.
        region: A place with more than one pixel, [top,left,bottom,right], of which bottom and right are not part.
        class_name: The class to explain; by default the one that the model gives to the place.
        method: saliency or integrated_gradients.
        receptive_field: Draw the effective receptive field instead, whatever the class.
        control: Folder of a second model whose receptive field is drawn beside, such as the no-recurrence control.
        json: Print what was measured as JSON.
        quiet: Print nothing.
    """
    from pathlib import Path

    from ..errors import UsageError, printable
    from ..explain.attribution import attribute, class_of
    from ..explain.picture import draw_attribution, draw_fields
    from ..explain.receptive_field import effective_receptive_field, radius
    from ..explain.region import Region, check_region
    from ..inference.segment import as_batch, as_input, mask_task
    from ..io.files import atomic_write
    from ..io.images import read_image
    from ..models.folder import bundled_model, load
    from .terminal import print_json

    if at is not None and region is not None:
        raise UsageError("at and region both name the place; leave one out")
    if control is not None and not receptive_field:
        raise UsageError("control is for receptive fields; add --receptive-field or leave it out")
    if class_name is not None and receptive_field:
        raise UsageError("a receptive field has no class; leave out --class-name or --receptive-field")
    segmenter = load(model or bundled_model())
    mask_task(segmenter)  # refuses what says one thing of a whole picture
    classes = segmenter.config.classes
    if class_name is not None and class_name not in classes:
        raise UsageError(f"the model does not know {printable(class_name)}; it knows {', '.join(classes)}")
    pixels = read_image(Path(image))
    unit = as_input(segmenter, pixels)
    batch = as_batch(segmenter, unit)
    row, column = at or (unit.shape[0] // 2, unit.shape[1] // 2)
    place = Region(*region) if region else Region.of_pixel(row, column)
    check_region(place, batch)
    facts: list[dict]
    if receptive_field:
        facts, fields = [], []
        for folder in (model or str(bundled_model()), *([control] if control else [])):
            one = load(folder)
            mask_task(one)
            field = effective_receptive_field(one, as_batch(one, as_input(one, pixels)), place)
            half, most = (radius(field, place, share) for share in (0.5, 0.95))
            builder = one.config.builder
            facts.append({"model": folder, "builder": builder, "half_within": half, "most_within": most})
            title = f"{builder}\n50 % within {half:.0f} pixels, 95 % within {most:.0f}"
            fields.append((title, field.numpy()))
        lines = [" ".join(title.split("\n")) for title, _ in fields]
        drawn = draw_fields(unit, place, fields)
    else:
        index = class_of(segmenter, batch, place) if class_name is None else classes.index(class_name)
        found = attribute(segmenter, batch, place, index, method=method)
        reach = radius(found.abs(), place, 0.5)
        facts = [{"class": classes[index], "method": method, "half_within": reach}]
        words = method.replace("_", " ")
        lines = [f"{words} for {classes[index]}: half of it within {reach:.0f} pixels"]
        drawn = draw_attribution(unit, place, found.numpy(), f"{words} for {printable(classes[index])}")
    atomic_write(output, drawn)
    if json:
        print_json(facts)
    elif not quiet:
        print("\n".join([*lines, f"the picture is {printable(output)}"]))
    return 0
