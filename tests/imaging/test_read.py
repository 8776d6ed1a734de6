from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import threading
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image as PillowImage

from facealike.errors import ImageError, ImageNotFound, ImageTooLarge, UnreadableImage, UsageError
from facealike.imaging.read import read_file, read_image, resize_square
from facealike.utils.escape import shown
from support.corrupt_images import encoded, gif, make_bad_inputs, png, webp_of_size

EXIF_ORIENTATION = 0x0112


def gradient(height: int = 24, width: int = 40) -> np.ndarray:
    """A smooth picture without any symmetry, so that lossy formats keep it and every turn shows."""
    y, x = np.mgrid[:height, :width]
    return np.stack([x * 255 // width, y * 255 // height, (x + y) * 2], axis=2).astype(np.uint8)


def saved(image: PillowImage.Image, kind: str, **options: object) -> bytes:
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


# --- formats and modes -----------------------------------------------------------------------------


@pytest.mark.parametrize("extension", ["png", "bmp", "tif"])
def test_lossless_formats_give_the_very_pixels(extension: str) -> None:
    picture = gradient()
    got = read_image(encoded(extension, picture))
    assert got.dtype == np.uint8
    np.testing.assert_array_equal(got, picture)


def test_lossless_webp_gives_the_very_pixels() -> None:
    np.testing.assert_array_equal(read_image(encoded("webp", gradient(), lossless=True)), gradient())


@pytest.mark.parametrize("extension", ["jpg", "webp"])
@pytest.mark.parametrize("options", [{}, {"progressive": True}])
def test_lossy_formats_come_close(extension: str, options: dict[str, object]) -> None:
    got = read_image(encoded(extension, gradient(), quality=95, **options))
    assert np.abs(got.astype(int) - gradient()).max() < 25


def test_gif_gives_its_first_frame() -> None:
    frames = [PillowImage.new("RGB", (9, 5), colour) for colour in ("red", "blue")]
    got = read_image(saved(frames[0], "GIF", save_all=True, append_images=frames[1:]))
    assert got.shape == (5, 9, 3)
    assert (got == [255, 0, 0]).all()


def test_tiff_gives_its_first_page() -> None:
    pages = [PillowImage.new("RGB", (9, 5), colour) for colour in ("lime", "blue")]
    got = read_image(saved(pages[0], "TIFF", save_all=True, append_images=pages[1:]))
    assert (got == [0, 255, 0]).all()


@pytest.mark.parametrize("compression", ["raw", "tiff_lzw", "tiff_adobe_deflate", "packbits"])
def test_compressed_tiff(compression: str) -> None:
    np.testing.assert_array_equal(read_image(encoded("tif", gradient(), compression=compression)), gradient())


@pytest.mark.parametrize("extension", ["jpg", "png", "bmp", "tif", "gif"])
def test_grey_is_repeated_in_three_channels(extension: str) -> None:
    grey = gradient()[:, :, 0]
    got = read_image(encoded(extension, grey))
    assert got.shape == (*grey.shape, 3)
    assert (got == got[:, :, :1]).all()
    assert np.abs(got[:, :, 0].astype(int) - grey).max() <= (6 if extension == "jpg" else 0)


def test_one_bit_is_black_and_white() -> None:
    bits = gradient()[:, :, 0] > 128
    got = read_image(saved(PillowImage.fromarray(bits), "PNG"))
    np.testing.assert_array_equal(got, np.repeat(bits[:, :, None] * np.uint8(255), 3, axis=2))


def test_palette_with_transparent_entry_becomes_white_there() -> None:
    image = PillowImage.new("P", (2, 1))
    image.putpalette([10, 20, 30, 200, 100, 50])
    image.putpixel((1, 0), 1)
    for kind in ("PNG", "GIF"):
        got = read_image(saved(image, kind, transparency=0))
        assert got[0].tolist() == [[255, 255, 255], [200, 100, 50]]
    assert read_image(saved(image, "PNG"))[0].tolist() == [[10, 20, 30], [200, 100, 50]]


def test_grey_and_colour_keys_become_white() -> None:
    grey = PillowImage.fromarray(np.array([[7, 90]], dtype=np.uint8))
    assert read_image(saved(grey, "PNG", transparency=7))[0, :, 0].tolist() == [255, 90]
    colour = PillowImage.fromarray(np.array([[[1, 2, 3], [4, 5, 6]]], dtype=np.uint8))
    assert read_image(saved(colour, "PNG", transparency=(1, 2, 3)))[0].tolist() == [[255] * 3, [4, 5, 6]]


def slow_over_white(rgba: np.ndarray) -> np.ndarray:
    out = np.zeros((*rgba.shape[:2], 3), dtype=np.uint8)
    for y in range(rgba.shape[0]):
        for x in range(rgba.shape[1]):
            alpha = int(rgba[y, x, 3]) / 255
            for c in range(3):
                out[y, x, c] = int(alpha * int(rgba[y, x, c]) + (1 - alpha) * 255 + 0.5)
    return out


@given(hnp.arrays(np.uint8, st.tuples(st.integers(1, 9), st.integers(1, 9), st.just(4))))
def test_alpha_is_laid_over_white(rgba: np.ndarray) -> None:
    expected = slow_over_white(rgba)
    np.testing.assert_array_equal(read_image(rgba), expected)
    np.testing.assert_array_equal(read_image(encoded("png", rgba)), expected)


def test_alpha_over_more_rows_than_one_strip() -> None:
    rgba = np.random.default_rng(1).integers(0, 256, (600, 3, 4), dtype=np.uint8)
    np.testing.assert_array_equal(read_image(rgba), slow_over_white(rgba))


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA", "P", "CMYK", "1", "LA"])
def test_tall_images_are_the_same_as_their_parts(mode: str) -> None:
    # Conversion goes by strips of rows; a tall picture must show no seams.
    colour = PillowImage.fromarray(np.random.default_rng(2).integers(0, 256, (600, 5, 4), dtype=np.uint8))
    image = colour.convert("RGB").quantize(9) if mode == "P" else colour.convert(mode)
    kind = "TIFF" if mode == "CMYK" else "PNG"
    options = {"transparency": 3} if mode == "P" else {}
    whole = read_image(saved(image, kind, **options))
    parts = [read_image(saved(image.crop((0, y, 5, y + 50)), kind, **options)) for y in range(0, 600, 50)]
    np.testing.assert_array_equal(whole, np.concatenate(parts))
    assert whole.shape == (600, 5, 3) and len(np.unique(whole)) > 1


def test_grey_with_alpha() -> None:
    image = PillowImage.fromarray(np.array([[[0, 0], [0, 255]]], dtype=np.uint8), "LA")
    assert read_image(saved(image, "PNG"))[0, :, 0].tolist() == [255, 0]


def test_cmyk_jpeg_is_not_inverted() -> None:
    # Photoshop and libjpeg store CMYK inverted; red ink only must come out as red all the same.
    image = PillowImage.new("CMYK", (16, 16), (0, 255, 255, 0))
    for kind in ("JPEG", "TIFF"):
        assert np.abs(read_image(saved(image, kind))[8, 8].astype(int) - [255, 0, 0]).max() < 6


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_sixteen_bits_are_scaled_and_not_clipped(kind: str) -> None:
    values = np.array([[0, 257, 1000, 32768, 65535]], dtype=np.uint16)
    got = read_image(saved(PillowImage.fromarray(values), kind))
    assert got[0, :, 0].tolist() == [0, 1, 4, 128, 255]
    assert (got == got[:, :, :1]).all()


def test_floats_in_three_channels_are_not_called_damaged() -> None:
    import cv2

    pixels = cv2.imencode(".tif", np.full((8, 8, 3), 0.5, dtype=np.float32))[1].tobytes()
    with pytest.raises(UnreadableImage, match="pixels of a type that cannot be read; save it as 8-bit PNG"):
        read_image(pixels)


def test_big_endian_sixteen_bits() -> None:
    image = PillowImage.frombytes("I;16B", (2, 1), b"\x80\x00\xff\xff")
    assert read_image(saved(image, "TIFF"))[0, :, 0].tolist() == [128, 255]


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (np.array([[0, 0.5, 1]], dtype=np.float32), [0, 128, 255]),
        (np.array([[0, 7, 254.6]], dtype=np.float32), [0, 7, 255]),
        (np.array([[0, 257, 65535]], dtype=np.float32), [0, 1, 255]),
        (np.array([[-1, 0, 1]], dtype=np.float32), [0, 128, 255]),
        (np.array([[3, 3, -3]], dtype=np.float32), [255, 255, 0]),
        (np.array([[-5, -5, -5]], dtype=np.float32), [0, 0, 0]),
        (np.array([[0, 7, 255]], dtype=np.int32), [0, 7, 255]),
        (np.array([[0, 257, 65535]], dtype=np.int32), [0, 1, 255]),
        (np.array([[0, 10**9, 2 * 10**9]], dtype=np.int32), [0, 128, 255]),
    ],
)
def test_wide_greys_are_scaled(values: np.ndarray, expected: list[int]) -> None:
    assert read_image(saved(PillowImage.fromarray(values), "TIFF"))[0, :, 0].tolist() == expected


# --- orientation -----------------------------------------------------------------------------------

# Where the pixel at the top left of the stored image belongs, after the EXIF standard (2.32, 4.6.4):
# the 0th row is the visual top, right, bottom or left, and so on.
TURNS: dict[int, Callable[[np.ndarray], np.ndarray]] = {
    1: lambda a: a,
    2: np.fliplr,
    3: lambda a: np.rot90(a, 2),
    4: np.flipud,
    5: lambda a: np.rot90(np.fliplr(a), 1),
    6: lambda a: np.rot90(a, -1),
    7: lambda a: np.rot90(np.fliplr(a), -1),
    8: lambda a: np.rot90(a, 1),
}


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_applied(kind: str, orientation: int) -> None:
    exif = PillowImage.Exif()
    exif[EXIF_ORIENTATION] = orientation
    data = saved(PillowImage.fromarray(gradient()), kind, exif=exif.tobytes(), quality=95)
    got, expected = read_image(data), TURNS[orientation](gradient())
    assert got.shape == expected.shape
    assert got.flags.c_contiguous
    assert np.abs(got.astype(int) - expected).max() <= (0 if kind in ("PNG", "TIFF") else 25)


@pytest.mark.parametrize("value", [0, 9, 60000])
def test_impossible_orientation_is_ignored(value: int) -> None:
    exif = PillowImage.Exif()
    exif[EXIF_ORIENTATION] = value
    data = saved(PillowImage.fromarray(gradient()), "PNG", exif=exif.tobytes())
    np.testing.assert_array_equal(read_image(data), gradient())


@pytest.mark.filterwarnings("ignore:Corrupt EXIF data")
def test_damaged_exif_is_ignored() -> None:
    data = saved(PillowImage.fromarray(gradient()), "PNG", exif=b"Exif\0\0II*\0\xff\xff\xff\xff")
    np.testing.assert_array_equal(read_image(data), gradient())


# --- sources ---------------------------------------------------------------------------------------


def test_path_bytes_and_array_agree(tmp_path: Path) -> None:
    path = tmp_path / "Größe 写真 😀.png"
    path.write_bytes(encoded("png", gradient()))
    for source in (path, str(path), path.read_bytes(), bytearray(path.read_bytes()), gradient()):
        np.testing.assert_array_equal(read_image(source), gradient())  # type: ignore[arg-type]


def test_extension_does_not_matter(tmp_path: Path) -> None:
    path = tmp_path / "really-a-png.JPG"
    path.write_bytes(encoded("png", gradient()))
    np.testing.assert_array_equal(read_image(path), gradient())


def test_a_link_to_a_good_file_is_followed(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(encoded("png", gradient()))
    (tmp_path / "link").symlink_to("a.png")
    np.testing.assert_array_equal(read_image(tmp_path / "link"), gradient())


@pytest.mark.parametrize("shape", [(4, 5), (4, 5, 1)])
def test_grey_arrays(shape: tuple[int, ...]) -> None:
    grey = np.arange(20, dtype=np.uint8).reshape(shape)
    np.testing.assert_array_equal(read_image(grey), np.repeat(grey.reshape(4, 5, 1), 3, axis=2))


@pytest.mark.parametrize(
    "array",
    [
        np.zeros((4, 4, 3), np.int64),
        np.zeros((4, 4, 2)),
        np.zeros((4, 4, 2), np.uint8),
        np.zeros(4, np.uint8),
        np.zeros((1, 4, 4, 3), np.uint8),
    ],
)
def test_other_arrays_are_refused(array: np.ndarray) -> None:
    with pytest.raises(UsageError, match="an image array is uint8 of shape"):
        read_image(array)


@pytest.mark.parametrize("shape", [(0, 4, 3), (4, 0, 3), (0, 0)])
def test_arrays_of_zero_size_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(UnreadableImage, match="photo 3: an image of zero size"):
        read_image(np.zeros(shape, np.uint8), name="photo 3")


@pytest.mark.parametrize("source", [None, 3, ["a.jpg"]])
def test_other_sources_are_refused(source: object) -> None:
    with pytest.raises(
        UsageError, match="an image is a path, bytes, an open file, a Pillow image or an array, not"
    ):
        read_image(source)  # type: ignore[arg-type]


def test_a_single_pixel_is_an_image() -> None:
    assert read_image(encoded("png", np.full((1, 1, 3), 9, np.uint8))).tolist() == [[[9, 9, 9]]]


# --- limits ----------------------------------------------------------------------------------------


def test_limits_hold_to_the_very_pixel_and_byte(tmp_path: Path) -> None:
    data = encoded("png", gradient(10, 10))
    path = tmp_path / "a.png"
    path.write_bytes(data)
    for source in (data, path):
        assert read_image(source, max_pixels=100, max_bytes=len(data)).shape == (10, 10, 3)
        with pytest.raises(ImageTooLarge, match="10 x 10 pixels"):
            read_image(source, max_pixels=99)
        with pytest.raises(ImageTooLarge, match="MiB"):
            read_image(source, max_bytes=len(data) - 1)
    with pytest.raises(ImageTooLarge, match="10 x 10 pixels"):
        read_image(gradient(10, 10), max_pixels=99)


@pytest.mark.parametrize(
    "options", [{}, {"lossless": True}, {"exif": b"Exif\0\0II*\0\x08\0\0\0\0\0\0\0\0\0"}]
)
def test_every_kind_of_webp_states_its_size_before_it_is_decoded(options: dict[str, object]) -> None:
    data = encoded("webp", gradient(30, 50), **options)
    assert read_image(data, max_pixels=1500).shape == (30, 50, 3)
    with pytest.raises(ImageTooLarge, match="50 x 30 pixels"):
        read_image(data, max_pixels=1499)


def test_a_bomb_is_refused_without_a_decoder(monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*_: object) -> None:
        raise AssertionError("decoded")

    monkeypatch.setattr("PIL.ImageFile.ImageFile.load", never)
    for data in (png(60000, 60000), webp_of_size(16384, 16384), gif(4, 4, frame=(65535, 65535))):
        with pytest.raises(ImageTooLarge):
            read_image(data)


def test_the_global_limit_of_pillow_is_neither_obeyed_nor_changed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(PillowImage, "MAX_IMAGE_PIXELS", 50)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        # Newer Pillows check TIFF, WebP and GIF inside their decoders too, where nobody can prevent it.
        for extension in ("jpg", "png", "bmp"):
            assert read_image(encoded(extension, gradient())).shape == (24, 40, 3)
    assert PillowImage.MAX_IMAGE_PIXELS == 50


# --- bad inputs ------------------------------------------------------------------------------------

READ_ALL = """
import json, resource, sys, time
import numpy, PIL.Image
from facealike.errors import ImageError
from facealike.imaging.read import read_image

def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)

answers, before = [], peak()
for path in json.load(sys.stdin):
    start = time.monotonic()
    try:
        answer = "accepted" if read_image(path).size else "?"
    except ImageError as error:
        answer = str(error)
    answers.append((answer, time.monotonic() - start))
json.dump({"answers": answers, "growth": peak() - before}, sys.stdout)
"""


@pytest.mark.skipif(os.name != "posix", reason="measures memory with the resource module")
def test_bad_inputs_give_one_sentence_in_bounded_time_and_memory(tmp_path: Path) -> None:
    bad = make_bad_inputs(tmp_path / "bad")
    assert len(bad) >= 90
    result = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", READ_ALL],
        input=json.dumps([entry.path for entry in bad]),
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    assert result.stderr == ""  # neither a traceback nor chatter of a C library
    answers = json.loads(result.stdout)
    for entry, (message, seconds) in zip(bad, answers["answers"], strict=True):
        assert message != "accepted", entry.name
        assert all(word in message for word in entry.expect), (entry.name, entry.expect, message)
        assert message.isprintable(), entry.name
        assert seconds < 10, entry.name  # no speed, but a guard: a decoder that hangs is one, too
    assert answers["growth"] < 400 * 2**20


def test_bad_contents_as_bytes_give_the_same_errors_and_use_the_name(tmp_path: Path) -> None:
    for entry in make_bad_inputs(tmp_path / "bad"):
        path = Path(entry.path)
        if not os.path.isfile(path) or not os.access(path, os.R_OK):  # noqa: PTH113 (takes any name)
            continue
        if path.stat().st_size > 2**20:
            continue
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with pytest.raises(ImageError, match=r"^upload 7: ") as caught:
                read_image(path.read_bytes(), name="upload 7")
        assert entry.expect[-1] in str(caught.value)


def test_an_unreadable_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "secret.png"
    path.write_bytes(encoded("png"))
    path.chmod(0)
    if os.access(path, os.R_OK):
        pytest.skip("root may read everything")
    with pytest.raises(UnreadableImage, match=r"secret\.png: permission denied"):
        read_image(path)


def test_permission_denied_reads_well_for_root_too(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def refuse(*_: object) -> int:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "open", refuse)
    with pytest.raises(UnreadableImage, match=r"a\.png: permission denied; allow reading it"):
        read_image(tmp_path / "a.png")


def test_a_file_that_grows_while_it_is_read_stays_within_the_limit(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    path = tmp_path / "growing.bin"
    path.write_bytes(bytes(100))
    small = os.stat_result((0o100644, 0, 0, 1, 0, 0, 10, 0, 0, 0))
    monkeypatch.setattr(os, "fstat", lambda _: small)
    with pytest.raises(ImageTooLarge):
        read_file(path, max_bytes=50)


def test_missing_file_is_its_own_class(tmp_path: Path) -> None:
    with pytest.raises(ImageNotFound):
        read_image(tmp_path / "none.jpg")


def test_every_cut_of_a_small_photo_is_an_error_or_the_whole_photo() -> None:
    picture = gradient(16, 16)
    for extension in ("jpg", "png", "webp", "gif", "bmp", "tif"):
        data = encoded(extension, picture)
        whole = read_image(data)
        for length in range(0, len(data), 7):
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                try:
                    got = read_image(data[:length])
                except UnreadableImage:
                    continue
            # Formats may end in bytes that carry no pixels; nothing else may be missed.
            np.testing.assert_array_equal(got, whole, err_msg=f"{extension} cut at {length}")


@given(st.sampled_from(["jpg", "png", "webp", "gif", "bmp", "tif"]), st.data())
def test_flipped_bytes_give_an_image_or_an_error_of_ours(extension: str, data: st.DataObject) -> None:
    broken = bytearray(encoded(extension, gradient(16, 16)))
    for _ in range(data.draw(st.integers(1, 4))):
        broken[data.draw(st.integers(0, len(broken) - 1))] = data.draw(st.integers(0, 255))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            got = read_image(bytes(broken), max_pixels=10**6)
        except ImageError as error:
            assert str(error).isprintable()
        else:
            assert got.dtype == np.uint8 and got.ndim == 3 and got.shape[2] == 3


# --- the rest --------------------------------------------------------------------------------------


def test_threads_read_alike() -> None:
    data = encoded("jpg", gradient(200, 300))
    expected, results = read_image(data), []
    threads = [threading.Thread(target=lambda: results.append(read_image(data))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == 8
    assert all(np.array_equal(got, expected) for got in results)


def test_shown_escapes_and_shortens() -> None:
    assert shown("a b/ü.jpg") == "a b/ü.jpg"
    assert shown("a\nb\x1b\udcff\u202e") == r"a\nb\x1b\udcff\u202e"
    assert shown("") == "''"
    assert len(shown("x" * 5000)) < 1000


def test_resize_square() -> None:
    picture = gradient(40, 40)
    assert resize_square(picture, 40) is picture
    assert resize_square(gradient(30, 60), 20).shape == (20, 20, 3)
    # Averaged where it shrinks: a fine chequer must turn grey, not black or white.
    chequer = np.repeat((np.indices((64, 64)).sum(axis=0) % 2 * 255).astype(np.uint8)[:, :, None], 3, axis=2)
    assert np.abs(resize_square(chequer, 16)[2:-2, 2:-2].astype(int) - 128).max() < 12


# ---- neighbors of faults that tests can miss (benchmarks/tests/mutation.py) -------------------------------


def test_a_name_of_1000_characters_is_shown_whole_and_a_longer_one_by_its_ends() -> None:
    assert shown("x" * 1000) == "x" * 1000
    assert shown("a" * 500 + "m" * 301 + "z" * 200) == "a" * 500 + "..." + "z" * 200


def test_the_limits_are_64_mib_and_100_megapixels(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    wide = np.broadcast_to(np.uint8(0), (10_000, 10_001))
    with pytest.raises(ImageTooLarge, match="10001 x 10000 pixels are over the limit of 100 megapixels"):
        read_image(wide)
    grown = np.broadcast_to(np.uint8(0), (10_001, 10_000))
    with pytest.raises(ImageTooLarge, match="10000 x 10001 pixels"):
        read_image(grown)
    with (tmp_path / "a.png").open("wb") as file:
        file.truncate((64 << 20) + 1)
    with pytest.raises(ImageTooLarge, match=r"over the limit of 64 MiB; save it smaller"):
        read_image(tmp_path / "a.png")
    with (tmp_path / "a.png").open("wb") as file:
        file.truncate(64 << 20)
    with pytest.raises(UnreadableImage, match="not an image"):  # read, and of a size that is allowed
        read_image(tmp_path / "a.png")


def test_floats_from_0_to_1_are_rounded_to_the_nearest_of_256_steps() -> None:
    ramp = np.array([[0.0, 0.001, 0.0021, 0.5, 0.999, 1.0]])
    assert read_image(ramp)[0, :, 0].tolist() == [0, 0, 1, 128, 255, 255]
    for outside in (-1e-6, 1 + 1e-6, np.nan, np.inf):
        with pytest.raises(UsageError, match="goes from 0"):
            read_image(np.array([[0.5, outside]]))
    with pytest.raises(UsageError, match=r"not from -0\.25 to 12\.35; scale it"):
        read_image(np.array([[-0.25, 12.3456]]))


def test_the_smallest_images_are_read_and_empty_ones_named() -> None:
    assert read_image(np.zeros((1, 5), np.uint8)).shape == (1, 5, 3)
    assert read_image(np.zeros((5, 1), np.uint8)).shape == (5, 1, 3)
    with pytest.raises(UnreadableImage, match=r"zero size \(3 x 0\)"):
        read_image(np.zeros((0, 3), np.uint8))
    with pytest.raises(UnreadableImage, match=r"zero size \(0 x 3\)"):
        read_image(np.zeros((3, 0), np.uint8))


def test_an_open_file_is_read_from_its_beginning_within_the_limit() -> None:
    data = encoded("png", gradient(10, 10))
    file = io.BytesIO(data)
    file.seek(7)
    assert np.array_equal(read_image(file, max_bytes=len(data)), gradient(10, 10))
    with pytest.raises(ImageTooLarge, match="the open file"):
        read_image(io.BytesIO(data), max_bytes=len(data) - 1)
    with pytest.raises(UnreadableImage, match=r"the open file: the file is empty"):
        read_image(io.BytesIO())


@pytest.mark.parametrize("reduce", [1, 2, 4, 8])
def test_a_jpeg_is_reduced_by_what_is_asked_rounded_up_and_nothing_else_is(reduce: int) -> None:
    tall = gradient(67, 43)
    assert read_image(encoded("jpeg", tall), reduce=reduce).shape == (-(-67 // reduce), -(-43 // reduce), 3)
    assert read_image(encoded("png", tall), reduce=reduce).shape == (67, 43, 3)


def test_floats_need_not_reach_black_or_white() -> None:
    """Found by mutation: every array of the tests reached 1."""
    assert read_image(np.full((2, 3), 0.25)).tolist() == [[[64] * 3] * 3] * 2
    for wrong in (np.full((2, 3), 1.0001), np.full((2, 3), -0.0001), np.full((2, 3), np.nan)):
        with pytest.raises(UsageError, match="goes from 0"):
            read_image(wrong)
