"""Makers of video files that are damaged, odd or hostile. Each takes a path and writes there.

`KINDS` maps a maker's name to the maker, the suffix of the file, the status that it must get, and, where the
status is `ok`, the frames it has and their (height, width).
"""

import contextlib
import gzip
import os
import struct
import sys
import tarfile
import time
import wave

import cv2
import numpy as np

HEIGHT, WIDTH, FRAMES = 48, 64, 60


@contextlib.contextmanager
def limits(size=2**30, seconds=5):
    """What a file from outside may take: memory, where a process can be limited, and time of a core."""
    started = time.process_time()
    if sys.platform == "linux":
        import resource

        with open("/proc/self/statm", encoding="ascii") as file:
            used = int(file.read().split()[0]) * resource.getpagesize()
        soft, hard = resource.getrlimit(resource.RLIMIT_AS)
        resource.setrlimit(resource.RLIMIT_AS, (used + size, hard))
        try:
            yield
        finally:
            resource.setrlimit(resource.RLIMIT_AS, (soft, hard))
    else:
        yield
    assert time.process_time() - started < seconds


def barcode(number):
    """A frame with its number in it: eight columns, black or white, most significant bit first."""
    bits = [255 * (number >> bit & 1) for bit in reversed(range(8))]
    return np.broadcast_to(np.repeat(bits, WIDTH // 8)[None, :, None], (HEIGHT, WIDTH, 3)).astype("uint8")


def numbers(frames):
    """The numbers that frames of any size show."""
    columns = np.array_split(np.stack(frames).mean(axis=(1, 3)), 8, axis=1)
    bits = np.stack([column.mean(axis=1) > 127 for column in columns], axis=1)
    return (bits @ (1 << np.arange(8)[::-1])).tolist()


def write(path, frames=None, codec="mp4v"):
    frames = [barcode(number) for number in range(FRAMES)] if frames is None else frames
    height, width = frames[0].shape[:2]
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*codec), 10, (width, height))
    assert writer.isOpened()
    for frame in frames:
        writer.write(np.ascontiguousarray(frame[..., ::-1]))
    writer.release()
    return path


def noise(count, height=HEIGHT, width=WIDTH):
    return np.random.default_rng(0).integers(0, 256, (count, height, width, 3), dtype="uint8")


def edit(data, kinds, change):
    """An mp4 with the body of the box at the path `kinds` changed, and all sizes above it."""
    out, place = b"", 0
    while place < len(data):
        size, kind = struct.unpack_from(">I4s", data, place)
        body = data[place + 8 : place + size]
        if kind == kinds[0]:
            body = edit(body, kinds[1:], change) if len(kinds) > 1 else change(body)
        out += struct.pack(">I4s", 8 + len(body), kind) + body
        place += size
    return out


def edit_file(path, names, change):
    path.write_bytes(edit(path.read_bytes(), [name.encode() for name in names.split("/")], change))


def media_scale(data):
    place = data.index(b"mdhd") + 4
    return struct.unpack_from(">12xII", data, place)  # units a second, duration


def zero_bytes(path):
    path.write_bytes(b"")


def garbage(path):
    path.write_bytes(np.random.default_rng(0).bytes(20_000))


def html(path):
    path.write_text("<!DOCTYPE html><html><body>404 Not Found</body></html>\n" * 50, encoding="utf-8")


def without_moov(path):  # OpenCV writes an mp4's table of frames at its end
    write(path)
    path.write_bytes(path.read_bytes().split(b"moov")[0][:-4])


def audio_only(path):
    with wave.open(str(path), "wb") as sound:
        sound.setnchannels(1)
        sound.setsampwidth(2)
        sound.setframerate(8000)
        sound.writeframes(b"\x00\x01" * 8000)


def flipped_bits(path):
    write(path, noise(FRAMES))
    data = bytearray(path.read_bytes())
    start, end = data.index(b"mdat") + 4, data.index(b"moov") - 4
    for place in np.random.default_rng(0).integers(start, end, (end - start) // 2000):
        data[place] ^= 1 << int(place) % 8
    path.write_bytes(data)


def without_frames(path):  # the tables are right, the frames are zeros
    write(path)
    data = bytearray(path.read_bytes())
    start, end = data.index(b"mdat") + 4, data.index(b"moov") - 4
    data[start:end] = bytes(end - start)
    path.write_bytes(data)


def half_an_avi(path):
    write(path, noise(FRAMES), "MJPG")
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def half_an_mp4(path):
    """With the table of frames in front, as files for the web have it."""
    write(path, noise(FRAMES))
    data = path.read_bytes()
    place = data.index(b"moov") - 4
    front = data.index(b"mdat") - 4
    moved = len(data) - place

    def shift(body):
        count = struct.unpack_from(">4xI", body)[0]
        offsets = struct.unpack_from(f">{count}I", body, 8)
        return body[:8] + struct.pack(f">{count}I", *(offset + moved for offset in offsets))

    moov = edit(data[place:], [b"moov", b"trak", b"mdia", b"minf", b"stbl", b"stco"], shift)
    data = data[:front] + moov + data[front:place]
    path.write_bytes(data[: front + moved + (place - front) // 2])


def half_a_matroska(path):
    write(path, noise(FRAMES))
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def picture_called_mp4(path):
    path.write_bytes(cv2.imencode(".jpg", barcode(3))[1].tobytes())


def mp4_called_avi(path):
    os.replace(write(path.with_suffix(".mp4")), path)


def name_in_another_encoding(path):
    os.rename(write(path.with_name("plain.mp4")), path)


def one_frame(path):
    write(path, [barcode(5)])


def one_pixel(path):
    write(path, [np.full((1, 1, 3), 200, "uint8")] * 5, "MJPG")


def very_wide(path):
    write(path, [np.full((16, 10_000, 3), 90, "uint8")] * 3, "MJPG")


def edit_list(path):
    """The list shows the last two thirds of the media."""
    write(path)
    scale, duration = media_scale(path.read_bytes())
    shown = duration * 2 // 3
    rows = struct.pack(">IIIiI", 0, 1, shown * 1000 // scale, duration - shown, 0x10000)
    edit_file(path, "moov/trak/edts/elst", lambda body: rows)


def variable_rate(path):
    """Frames stand for one to fifty units of time."""
    write(path)
    scale, duration = media_scale(path.read_bytes())
    lengths = np.random.default_rng(0).integers(1, 50, FRAMES) * (duration // FRAMES) // 10
    rows = b"".join(struct.pack(">II", 1, length) for length in lengths)
    edit_file(path, "moov/trak/mdia/minf/stbl/stts", lambda body: struct.pack(">II", 0, FRAMES) + rows)
    total = int(lengths.sum())
    edit_file(path, "moov/trak/mdia/mdhd", lambda body: body[:16] + struct.pack(">I", total) + body[20:])
    shown = struct.pack(">IIIiI", 0, 1, total * 1000 // scale, 0, 0x10000)
    edit_file(path, "moov/trak/edts/elst", lambda body: shown)


def rotated(path):
    """By a quarter turn, clockwise."""
    write(path)
    matrix = struct.pack(">9i", 0, 0x10000, 0, -0x10000, 0, 0, HEIGHT << 16, 0, 0x40000000)
    edit_file(path, "moov/trak/tkhd", lambda body: body[:40] + matrix + body[76:])


def huge_claim(path):
    write(path, codec="MJPG")
    data = bytearray(path.read_bytes())
    struct.pack_into("<I", data, data.index(b"avih") + 8 + 16, 2**31 - 1)
    struct.pack_into("<I", data, data.index(b"strh") + 8 + 32, 2**31 - 1)
    path.write_bytes(data)


def huge_table(path):
    """The table of frames claims to have two thousand million and ends after sixty."""
    write(path)
    claim = struct.pack(">I", 2**31 - 1)
    edit_file(path, "moov/trak/mdia/minf/stbl/stsz", lambda body: body[:8] + claim + body[12:])


def huge_moov(path):
    """Half of the frames are zeros, and the box with their table claims a million million bytes."""
    write(path, noise(FRAMES))
    data = bytearray(path.read_bytes())
    start, end = data.index(b"mdat") + 4, data.index(b"moov") - 4
    data[(start + end) // 2 : end] = bytes(end - (start + end) // 2)
    data[end : end + 8] = struct.pack(">I4sQ", 1, b"moov", 2**40)
    path.write_bytes(data)


def endless_boxes(path):
    path.write_bytes(struct.pack(">I4s", 8, b"ftyp") + struct.pack(">I4s", 8, b"free") * 500_000)


def folder(path):
    path.mkdir()


def dangling_link(path):
    path.symlink_to(path.with_name("not there"))


def link_loop(path):
    path.symlink_to(path)


def no_permission(path):
    write(path).chmod(0)


def pipe(path):
    os.mkfifo(path)


def playlist(path):
    other = write(path.with_name("other.ts.mp4"))
    path.write_text(f"#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\nfile://{other}\n#EXT-X-ENDLIST\n")


def neighbor(path):
    """A video beside a file that must not be opened through it."""
    return write(path.with_name(f"beside-{path.stem}.mp4")).name


def list_of_files(path):
    path.write_text(f"ffconcat version 1.0\nfile {neighbor(path)}\n")


def list_of_segments(path):
    path.write_text(f"#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\n{neighbor(path)}\n#EXT-X-ENDLIST\n")


def presentation(path):
    path.write_text(
        '<?xml version="1.0"?>\n<MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static" '
        'profiles="urn:mpeg:dash:profile:isoff-on-demand:2011" mediaPresentationDuration="PT6S">'
        '<Period><AdaptationSet mimeType="video/mp4"><Representation id="1" bandwidth="9">'
        f"<BaseURL>{neighbor(path)}</BaseURL></Representation></AdaptationSet></Period></MPD>\n"
    )


def subtitles_as_pictures(path):
    """The pictures lie in a file `.sub`."""
    os.replace(path.with_name(neighbor(path)), path.with_suffix(".sub"))
    path.write_text("# VobSub index file, v7\nid: en, index: 0\ntimestamp: 00:00:01:000, filepos: 000000\n")


def pattern(path):
    """Its name is that of several images."""
    for number in range(3):
        path.with_name(path.name.replace("%d", str(number))).write_bytes(
            cv2.imencode(".gif", barcode(number))[1].tobytes()
        )
    path.write_bytes(cv2.imencode(".gif", barcode(9))[1].tobytes())


def huge_frames(path):
    path.write_bytes(b"YUV4MPEG2 W20000 H20000 F25:1\n" + (b"FRAME\n" + bytes(1000)) * 3)


def session(path):  # asks to listen on the network
    path.write_text(
        "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=video 5004 RTP/AVP 26\n"
    )


def images(path, count=12, size=(HEIGHT, WIDTH)):
    path.mkdir()
    for number in range(count):
        cv2.imwrite(str(path / f"{number + 1:05d}.jpg"), cv2.resize(barcode(number), size[::-1]))


def image_folder_with_others(path):
    images(path)
    (path / "notes.txt").write_text("taken on a Monday")
    (path / "thumbnail.jpg").write_bytes(b"no number, no frame")
    (path / "._00001.jpg").write_bytes(b"left by another system")
    (path / "00002.txt").write_text("a number, no picture")


def image_folder_with_text(path):
    images(path)
    (path / "00006.jpg").write_text("not a picture")


def image_folder_of_two(path):
    images(path)
    cv2.imwrite(str(path / "flow_00003.jpg"), barcode(0))


def image_folder_with_a_pipe(path):
    images(path)
    (path / "00006.jpg").unlink()
    os.mkfifo(path / "00006.jpg")


def image_folder_with_a_device(path):
    images(path)
    (path / "00013.jpg").symlink_to("/dev/zero")


def image_folder_with_a_folder(path):
    images(path)
    (path / "00013.jpg").mkdir()


def image_folder_of_sizes(path):
    images(path)
    cv2.imwrite(str(path / "00013.png"), cv2.resize(barcode(12), (2 * WIDTH, HEIGHT)))


SIZE = (HEIGHT, WIDTH)
KINDS = {
    "zero_bytes": (zero_bytes, ".mp4", "unreadable"),
    "garbage": (garbage, ".mp4", "unreadable"),
    "html": (html, ".mp4", "unreadable"),
    "without_moov": (without_moov, ".mp4", "unreadable"),
    "audio_only": (audio_only, ".mp4", "unreadable"),
    "flipped_bits": (flipped_bits, ".mp4", "ok", FRAMES, SIZE),
    "without_frames": (without_frames, ".mp4", "empty"),
    "half_an_avi": (half_an_avi, ".avi", "truncated"),
    "half_an_mp4": (half_an_mp4, ".mp4", "truncated"),
    "half_a_matroska": (half_a_matroska, ".mkv", "truncated"),
    "picture_called_mp4": (picture_called_mp4, ".mp4", "ok", 1, SIZE),
    "mp4_called_avi": (mp4_called_avi, ".avi", "ok", FRAMES, SIZE),
    "one_frame": (one_frame, ".mp4", "ok", 1, SIZE),
    "one_pixel": (one_pixel, ".avi", "ok", 5, (1, 1)),
    "very_wide": (very_wide, ".avi", "ok", 3, (16, 10_000)),
    "edit_list": (edit_list, ".mp4", "ok", 40, SIZE),
    "variable_rate": (variable_rate, ".mp4", "ok", FRAMES, SIZE),
    "rotated": (rotated, ".mp4", "ok", FRAMES, (WIDTH, HEIGHT)),
    "huge_claim": (huge_claim, ".avi", "truncated"),
    "huge_table": (huge_table, ".mp4", "unreadable"),
    "huge_moov": (huge_moov, ".mp4", "truncated"),
    "endless_boxes": (endless_boxes, ".mp4", "unreadable"),
    "folder": (folder, ".mp4", "empty"),
    "dangling_link": (dangling_link, ".mp4", "unreadable"),
    "link_loop": (link_loop, ".mp4", "unreadable"),
    "no_permission": (no_permission, ".mp4", "unreadable"),
    "pipe": (pipe, ".mp4", "unreadable"),
    "playlist": (playlist, ".mp4", "unreadable"),
    "session": (session, ".mp4", "unreadable"),
    "list_of_files": (list_of_files, ".mp4", "unreadable"),
    "list_of_files_called_avi": (list_of_files, ".avi", "unreadable"),
    "list_of_segments": (list_of_segments, ".mp4", "unreadable"),
    "list_of_segments_by_name": (list_of_segments, ".m3u8", "unreadable"),
    "presentation": (presentation, ".mpd", "unreadable"),
    "subtitles_as_pictures": (subtitles_as_pictures, ".mp4", "unreadable"),
    "img%d": (pattern, ".gif", "ok", 1, SIZE),
    "file:clip": (write, ".mp4", "ok", FRAMES, SIZE),
    "http:clip": (write, ".mp4", "ok", FRAMES, SIZE),
    "huge_frames": (huge_frames, ".y4m", "unreadable"),
    "empty_image_folder": (folder, "", "empty"),
    "image_folder_with_others": (image_folder_with_others, "", "ok", 12, SIZE),
    "image_folder_with_text": (image_folder_with_text, "", "truncated"),
    "image_folder_with_a_pipe": (image_folder_with_a_pipe, "", "unreadable"),
    "image_folder_with_a_device": (image_folder_with_a_device, "", "unreadable"),
    "image_folder_with_a_folder": (image_folder_with_a_folder, "", "unreadable"),
    "image_folder_of_two": (image_folder_of_two, "", "unreadable"),
    "image_folder_of_sizes": (image_folder_of_sizes, "", "ok", 13, SIZE),
    "ünïcode 動画\nand a new line": (write, ".mp4", "ok", FRAMES, SIZE),
    "concat:a|b %03d http": (write, ".mp4", "ok", FRAMES, SIZE),
    "not utf-8 \udcff": (name_in_another_encoding, ".mp4", "unreadable"),
}


# Tar files, of which a name begins with `good` where what is in them can be read.


def member(name, content=b"x" * 700, **about):
    """A header and the content of one member."""
    info = tarfile.TarInfo(name)
    info.size = len(content)
    for key, value in about.items():
        setattr(info, key, value)
    return info.tobuf(tarfile.GNU_FORMAT) + content + bytes(-len(content) % 512)


def with_field(place, value, header=None):
    """A member with bytes of its header changed and the checksum put right."""
    block = bytearray(header or member("a.mp4"))
    block[place : place + len(value)] = value
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block[:512])
    return bytes(block)


def pax(records, name="a.mp4"):
    content = b"".join(records)
    return member("pax", content, type=tarfile.XHDTYPE) + member(name)


END = bytes(1024)
SIZE_FIELD = 124
LONGEST = b"\x80" + bytes(3) + (2**63 - 1).to_bytes(8, "big")
NEGATIVE = b"\xff" * 11 + b"\x00"
LONG_NAME = member("l", type=tarfile.GNUTYPE_LONGNAME)
TARS = {
    "empty": b"",
    "garbage": np.random.default_rng(0).bytes(20_000),
    "compressed": gzip.compress(member("a.mp4") + END, mtime=0),
    "cut_off_in_a_member": member("a.mp4") + member("b.mp4")[:900],
    "cut_off_in_a_header": member("a.mp4") + member("b.mp4")[:100],
    "cut_off_between_members": member("a.mp4") + member("b.mp4"),
    "damaged_header": member("a.mp4") + b"?" * 512 + member("b.mp4") + END,
    "several_in_one": member("a.mp4") + bytes(2 << 20) + member("b.mp4") + END,
    "same_name_twice": member("a.mp4") + member("./a.mp4") + END,
    "leads_out": member("../a.mp4") + END,
    "leads_out_within": member("b/../../a.mp4") + END,
    "absolute": member("/etc/a.mp4") + END,
    "link": member("a.mp4", b"", type=tarfile.SYMTYPE, linkname="/etc/passwd") + END,
    "hard_link": member("a.mp4") + member("b.mp4", b"", type=tarfile.LNKTYPE, linkname="a.mp4") + END,
    "device": member("a.mp4", b"", type=tarfile.CHRTYPE, devmajor=1, devminor=5) + END,
    "pipe": member("a.mp4", b"", type=tarfile.FIFOTYPE) + END,
    "sparse": with_field(156, b"S") + END,
    "unknown_type": with_field(156, b"Z") + END,
    "size_of_2_63": with_field(SIZE_FIELD, LONGEST) + END,
    "negative_size": member("b.mp4") + with_field(SIZE_FIELD, NEGATIVE) + END,
    "size_beyond_the_end": with_field(SIZE_FIELD, b"77777777777") + END,
    "long_name_of_2_63": with_field(SIZE_FIELD, LONGEST, LONG_NAME) + END,
    "long_name_below_zero": with_field(SIZE_FIELD, NEGATIVE, member("l", type=tarfile.GNUTYPE_LONGNAME))
    + END,
    "pax_size_below_zero": pax([b"13 size=-999\n"]) + END,
    "pax_size_of_2_63": pax([b"28 size=9223372036854775807\n"]) + END,
    "pax_of_a_megabyte": pax([b"1000013 comment=" + b"x" * 999_997]) + END,
    "pax_that_takes_long": pax([b"2 " * 500_000 + b"="]) + END,
    "pax_without_end": pax([b"99999999999999999999 a=b\n"]) + END,
    "pax_in_pax": member("p", b"9 a=bbbb\n", type=tarfile.XHDTYPE) * 5000 + member("a.mp4") + END,
    "sparse_map_without_end": pax([b"22 GNU.sparse.major=1\n", b"22 GNU.sparse.minor=0\n"]) + END,
    "good": member("a.mp4") + member("folder", b"", type=tarfile.DIRTYPE) + member("./b//c.mp4") + END,
    "good_pax": pax([b"14 path=x.mp4\n", b"22 mtime=1700000000.5\n"]) + END,
    "good_long": member("deep/" * 60 + "a.mp4") + END,
    "good_of_nothing": END,
}
