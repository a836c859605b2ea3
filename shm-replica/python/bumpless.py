"""bumpless for Python: state that survives any death. No build step: libbumpless.so.0 by ctypes.

    import array, bumpless

    level = array.array("d", [0.0])
    with bumpless.Participant("plc", runtime_dir="/run/bumpless/prp0") as plc:
        plant = plc.write("plant", {"level": level})
        plc.activate()
        while True:
            plc.wait(until_ns=bumpless.now_ns() + 10_000_000)
            cycle = plc.begin()
            if cycle.active:
                level[0] += 1.0
                plc.commit()

A block is anything with a writable buffer of one type: array.array, bytearray, memoryview, a numpy
array. It stays where it is while the participant is active; it is read at each commit, and written when
state is restored. Images that are read are memoryviews, by block name too; numpy.asarray takes them.

Python allocates and collects garbage: it is for showing, testing and slow cycles.
"""

import ctypes
import os

__all__ = [
    "ACTIVE", "DAEMON_AWAY", "Cycle", "Error", "IN_PLACE", "Image", "MAP_BY_NAME", "NEWER_LOST", "NONE",
    "NO_REGION", "Participant", "RESTORED", "SEPARATE", "STANDBY", "STATE_LOST", "STEPPED_DOWN", "TOOK_OVER", "WAKE",
    "lint", "now_ns", "version",
]

NONE, STANDBY, ACTIVE = 0, 1, 2
IN_PLACE, SEPARATE, WAKE, MAP_BY_NAME = 1, 2, 4, 8
TOOK_OVER, STEPPED_DOWN, RESTORED, DAEMON_AWAY, STATE_LOST, NEWER_LOST = 1, 2, 4, 8, 16, 32
NO_REGION = -1

# Kinds by the format characters of the buffer protocol, in the machine's own sizes.
_KINDS = {"B": 2, "b": 6, "f": 10, "d": 11, "?": 12, "c": 13, "x": 1}
for _format in "HILQ":
    _KINDS[_format] = {2: 3, 4: 4, 8: 5}[memoryview(bytes(8)).cast(_format).itemsize]
for _format in "hilq":
    _KINDS[_format] = {2: 7, 4: 8, 8: 9}[memoryview(bytes(8)).cast(_format).itemsize]
_FORMATS = {1: "B", 2: "B", 3: "H", 4: "I", 5: "Q", 6: "b", 7: "h", 8: "i", 9: "q", 10: "f", 11: "d", 12: "?",
            13: "c", 14: "q"}


class _Options(ctypes.Structure):
    _fields_ = [("struct_size", ctypes.c_uint32), ("flags", ctypes.c_uint32), ("application", ctypes.c_char_p),
                ("instance", ctypes.c_char_p), ("runtime_dir", ctypes.c_char_p), ("cycle_ns", ctypes.c_uint64),
                ("standby_class", ctypes.c_uint32), ("connect_timeout_ms", ctypes.c_uint32),
                ("reserved", ctypes.c_uint64 * 4)]


class _Block(ctypes.Structure):
    _fields_ = [("name", ctypes.c_char_p), ("kind", ctypes.c_uint32), ("count", ctypes.c_uint32),
                ("address", ctypes.c_void_p)]


class _RegionOptions(ctypes.Structure):
    _fields_ = [("struct_size", ctypes.c_uint32), ("flags", ctypes.c_uint32), ("name", ctypes.c_char_p),
                ("slots", ctypes.c_uint32), ("block_count", ctypes.c_uint32), ("blocks", ctypes.POINTER(_Block)),
                ("address", ctypes.c_void_p), ("size", ctypes.c_uint64), ("reserved", ctypes.c_uint64 * 4)]


class _ReaderOptions(ctypes.Structure):
    _fields_ = [("struct_size", ctypes.c_uint32), ("flags", ctypes.c_uint32), ("name", ctypes.c_char_p),
                ("block_count", ctypes.c_uint32), ("reserved32", ctypes.c_uint32), ("blocks", ctypes.POINTER(_Block)),
                ("reserved", ctypes.c_uint64 * 4)]


class Cycle(ctypes.Structure):
    """What a cycle begins with: role, flags, cycle, epoch, time_ns, gap_ns."""

    _fields_ = [("struct_size", ctypes.c_uint32), ("role", ctypes.c_uint32), ("flags", ctypes.c_uint32),
                ("reserved32", ctypes.c_uint32), ("cycle", ctypes.c_uint64), ("epoch", ctypes.c_uint64),
                ("time_ns", ctypes.c_uint64), ("gap_ns", ctypes.c_uint64), ("reserved", ctypes.c_uint64 * 4)]

    @property
    def active(self):
        return self.role == ACTIVE

    @property
    def restored(self):
        return bool(self.flags & RESTORED)


class _Image(ctypes.Structure):
    _fields_ = [("struct_size", ctypes.c_uint32), ("reserved32", ctypes.c_uint32), ("data", ctypes.c_void_p),
                ("size", ctypes.c_uint64), ("cycle", ctypes.c_uint64), ("epoch", ctypes.c_uint64),
                ("age_ns", ctypes.c_uint64), ("skipped", ctypes.c_uint64), ("time_ns", ctypes.c_uint64),
                ("wall_clock_ns", ctypes.c_int64), ("reserved", ctypes.c_uint64 * 4)]


class _RegionInfo(ctypes.Structure):
    _fields_ = [("struct_size", ctypes.c_uint32), ("flags", ctypes.c_uint32), ("name", ctypes.c_char * 64),
                ("size", ctypes.c_uint64), ("slots", ctypes.c_uint32), ("block_count", ctypes.c_uint32),
                ("schema_hash", ctypes.c_uint64), ("commit_cost_ns", ctypes.c_uint64), ("epoch", ctypes.c_uint64),
                ("cycle", ctypes.c_uint64), ("reserved", ctypes.c_uint64 * 4)]


_library = None


def _lib():
    """The library: $BUMPLESS_LIBRARY, or as the loader finds it."""
    global _library
    if _library is not None:
        return _library
    lib = ctypes.CDLL(os.environ.get("BUMPLESS_LIBRARY", "libbumpless.so.0"))
    handle, number = ctypes.c_void_p, ctypes.c_int
    signatures = {
        "bmpl_create": [ctypes.POINTER(_Options), ctypes.POINTER(handle)],
        "bmpl_register": [handle, ctypes.POINTER(_RegionOptions)],
        "bmpl_attach": [handle, ctypes.POINTER(_ReaderOptions)],
        "bmpl_activate": [handle], "bmpl_deactivate": [handle], "bmpl_destroy": [handle],
        "bmpl_cycle_begin": [handle, ctypes.POINTER(Cycle)],
        "bmpl_commit": [handle], "bmpl_commit_region": [handle, number],
        "bmpl_open": [handle, number, ctypes.POINTER(handle)],
        "bmpl_read": [handle, number, ctypes.POINTER(_Image)],
        "bmpl_read_next": [handle, number, ctypes.POINTER(_Image)],
        "bmpl_restore": [handle], "bmpl_wait": [handle, number, ctypes.c_uint64],
        "bmpl_release_thread": [handle], "bmpl_get_role": [handle], "bmpl_may_act": [handle],
        "bmpl_get_fd": [handle], "bmpl_region_info": [handle, number, ctypes.POINTER(_RegionInfo)],
        "bmpl_last_detail": [handle, ctypes.c_char_p, ctypes.c_size_t],
        "bmpl_lint": [ctypes.POINTER(_Block), ctypes.c_uint32, ctypes.c_char_p, ctypes.c_size_t],
    }
    for name, arguments in signatures.items():
        getattr(lib, name).argtypes = arguments
        getattr(lib, name).restype = number
    for name in ("bmpl_strerror", "bmpl_error_name"):
        getattr(lib, name).argtypes = [number]
        getattr(lib, name).restype = ctypes.c_char_p
    lib.bmpl_version_string.restype = ctypes.c_char_p
    lib.bmpl_now_ns.restype = ctypes.c_uint64
    if lib.bmpl_abi_version() >> 16 != 0:
        raise ImportError("this module is for libbumpless.so.0")
    _library = lib
    return lib


class Error(Exception):
    """A call that did nothing: .code, .name, and in words what it was and the remedy."""

    def __init__(self, code, handle=None):
        text = ctypes.create_string_buffer(1025)
        if _lib().bmpl_last_detail(handle, text, len(text)) <= 0:
            text.value = _lib().bmpl_strerror(code)
        self.code, self.name = code, _lib().bmpl_error_name(code).decode()
        super().__init__(f"{self.name}: {text.value.decode(errors='replace')}")


def _sized(structure, **fields):
    return structure(struct_size=ctypes.sizeof(structure), **fields)


def _of(name, value):
    """A block over a buffer, and what keeps that buffer where it is."""
    view = memoryview(value)
    if view.readonly or not view.contiguous:
        raise TypeError(f"block {name}: a buffer that can be written and has no gaps")
    kind = _KINDS.get(view.format.lstrip("@="))
    if kind is None:
        raise TypeError(f"block {name}: no kind for elements of format {view.format!r}")
    held = (ctypes.c_char * view.nbytes).from_buffer(value)
    count = view.nbytes // view.itemsize
    return _Block(name.encode(), kind, count, ctypes.addressof(held)), held


def _schema(blocks):
    """Blocks for reading, from a mapping of names to (format, count)."""
    array = (_Block * len(blocks))()
    for index, (name, (element, count)) in enumerate(blocks.items()):
        array[index] = _Block(name.encode(), _KINDS[element], count, None)
    return array


class Image:
    """An image that was read: .view (memoryview of a copy of its own), .new, .lapped, .epoch, .age_ns,
    .skipped, .time_ns, .wall_clock_ns; image["name"] is one block."""

    def __init__(self, outcome, raw, places):
        self.new, self.lapped = outcome == 1, outcome == 2
        for name in ("cycle", "epoch", "age_ns", "skipped", "time_ns", "wall_clock_ns"):
            setattr(self, name, getattr(raw, name))
        self._places = places
        # A copy: the library's own may go with the participant, and nobody expects that of a view.
        self.view = memoryview(ctypes.string_at(raw.data, raw.size) if raw.data else b"")

    def __getitem__(self, name):
        offset, octets, element = self._places[name]
        return self.view[offset:offset + octets].cast(element)


def _places(array):
    """Where blocks stand in an image: each at a whole word."""
    places, end = {}, 0
    for block in array:
        element = _FORMATS[block.kind]
        octets = block.count * memoryview(bytes(8)).cast(element).itemsize
        begin = (end + 7) // 8 * 8
        places[block.name.decode()] = (begin, octets, element)
        end = begin + octets
    return places


class Participant:
    """One handle; leaves at the end of its with block. The cyclic calls are one thread's."""

    def __init__(self, application, runtime_dir=None, instance=None, cycle_ns=0, standby_class=0, connect_timeout_ms=0):
        self._handle, self._held, self._images = ctypes.c_void_p(), [], {}
        texts = [None if text is None else os.fsencode(text) for text in (application, instance, runtime_dir)]
        options = _sized(_Options, application=texts[0], instance=texts[1], runtime_dir=texts[2], cycle_ns=cycle_ns,
                         standby_class=standby_class, connect_timeout_ms=connect_timeout_ms)
        code = _lib().bmpl_create(ctypes.byref(options), ctypes.byref(self._handle))
        if code < 0:
            raise Error(code)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        """Leaves and gives the handle back."""
        handle, self._handle = self._handle, None
        if handle is not None:
            _lib().bmpl_destroy(handle)
        self._held.clear()

    def _call(self, name, *arguments):
        code = getattr(_lib(), name)(self._handle, *arguments)
        if code < 0:
            raise Error(code, self._handle)
        return code

    def write(self, name, blocks=None, size=None, flags=0, slots=0):
        """Adds a region: blocks, a mapping of names to buffers; or a size, written in place. Its number."""
        options = _sized(_RegionOptions, name=name.encode(), flags=flags, slots=slots)
        if blocks is None:
            options.flags |= IN_PLACE
            options.size = size
            return self._call("bmpl_register", ctypes.byref(options))
        made = [_of(each, value) for each, value in blocks.items()]
        array = (_Block * len(made))(*[block for block, _ in made])
        options.blocks, options.block_count = array, len(made)
        number = self._call("bmpl_register", ctypes.byref(options))
        self._held.append([held for _, held in made])
        self._images[number] = _places(array)
        return number

    def attach(self, name, blocks=None, flags=0):
        """Adds a region that is read; blocks, a mapping of names to (format, count). Its number."""
        array = _schema(blocks or {})
        options = _sized(_ReaderOptions, name=name.encode(), flags=flags, block_count=len(array))
        options.blocks = array if len(array) else None
        number = self._call("bmpl_attach", ctypes.byref(options))
        self._images[number] = _places(array)
        return number

    def activate(self):
        """Reaches the daemon; the role."""
        return self._call("bmpl_activate")

    def deactivate(self):
        """Leaves; the blocks are the program's own again."""
        self._call("bmpl_deactivate")
        self._held.clear()

    def begin(self):
        """Begins a cycle: a Cycle."""
        cycle = _sized(Cycle)
        self._call("bmpl_cycle_begin", ctypes.byref(cycle))
        return cycle

    def commit(self, region=None):
        """Commits all regions but separate ones, or one that is separate."""
        if region is None:
            self._call("bmpl_commit")
        else:
            self._call("bmpl_commit_region", region)

    def open(self, region):
        """The memory of a region in place: a memoryview that is good until the next commit."""
        at = ctypes.c_void_p()
        self._call("bmpl_open", region, ctypes.byref(at))
        return memoryview((ctypes.c_char * self.info(region).size).from_address(at.value)).cast("B")

    def read(self, region, in_order=False):
        """Reads a region: an Image."""
        raw = _sized(_Image)
        outcome = self._call("bmpl_read_next" if in_order else "bmpl_read", region, ctypes.byref(raw))
        return Image(outcome, raw, self._images.get(region, {}))

    def restore(self):
        """Writes the state that a standby holds to its blocks; whether there is any."""
        return self._call("bmpl_restore") == 1

    def wait(self, until_ns, region=NO_REGION):
        """Waits; whether there may be something new."""
        return self._call("bmpl_wait", region, until_ns) == 1

    def release_thread(self):
        """Lets another thread make the cyclic calls."""
        self._call("bmpl_release_thread")

    @property
    def role(self):
        return self._call("bmpl_get_role")

    @property
    def may_act(self):
        return self._call("bmpl_may_act") == 1

    def fileno(self):
        """For select: readable when the role may have changed."""
        return self._call("bmpl_get_fd")

    def info(self, region):
        """What is known of a region: name, size, slots, commit_cost_ns, epoch, cycle, ..."""
        info = _sized(_RegionInfo)
        self._call("bmpl_region_info", region, ctypes.byref(info))
        return info


def lint(blocks):
    """What is trouble later in blocks (a mapping of names to (format, count)): a list of lines."""
    array = _schema(blocks)
    text = ctypes.create_string_buffer(65536)
    code = _lib().bmpl_lint(array, len(array), text, len(text))
    if code < 0:
        raise Error(code)
    return text.value.decode().splitlines()


def now_ns():
    """CLOCK_MONOTONIC in ns."""
    return _lib().bmpl_now_ns()


def version():
    """The library's version."""
    return _lib().bmpl_version_string().decode()
