"""The verb `video`."""

from .terminal import print_json, say


def video(
    input: str,
    output: str = "predictions",
    model: str | None = None,
    overlay: bool = False,
    cuts: bool = False,
    state: str | None = None,
    save_state: str | None = None,
    memory: str = "4GB",
    json: bool = False,
    quiet: bool = False,
) -> int:
    """Segment a video, or the videos in a folder of frames, frame by frame with what the model remembers.

    Args:
        input: MP4, MOV, MKV, WebM or AVI file, or folder of pictures that are numbered frames.
        output: Folder for the masks, `<stem>/<frame>.png` each; `report.jsonl` has a line for each frame.
        model: Model folder; by default the nuclei model that comes with sweepseg, which remembers nothing.
        overlay: Also write `<stem>.overlay.webm`, the video with its classes painted over it.
        cuts: Forget what was seen where the colours say that a new scene begins.
        state: Go on from the state in this file.
        save_state: Write the state after the last frame into this file.
        memory: How much memory to use, such as 600MB; larger frames are refused.
        json: Print the summary as JSON.
        quiet: No progress bar and no summary; bad frames are still named.
    """
    from ..errors import printable
    from ..inference.video import Counts, predict_video
    from ..models.folder import bundled_model, load
    from .progress import bar
    from .units import parse_bytes

    with bar() as update:

        def listen(counts: Counts) -> None:
            if not quiet:
                update("segmenting", counts.done + counts.failed, None)

        counts = predict_video(
            input,
            load(model or bundled_model()),
            output,
            overlay=overlay,
            cuts=cuts,
            state=state,
            save=save_state,
            memory=parse_bytes(memory),
            say=say,
            listen=listen,
        )
    if json:
        print_json({"done": counts.done, "failed": counts.failed, "output": output})
    elif not quiet:
        print(f"{counts.done} frames segmented, {counts.failed} failed; masks are in {printable(output)}")
    return counts.exit_code
