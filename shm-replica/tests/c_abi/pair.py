"""The Python module: an active participant, its standby and a reader. One argument: the folder."""

import array
import sys

import bumpless

FOLDER = sys.argv[1]
HAS_NUMPY = True
try:
    import numpy
except ImportError:
    HAS_NUMPY = False
    print("SKIP: pair.py: package python3-numpy, for blocks that are numpy arrays")


def soon():
    return bumpless.now_ns() + 1_000_000


def controller(state):
    made = bumpless.Participant("plc", runtime_dir=FOLDER, cycle_ns=1_000_000)
    assert made.write("plant", state, flags=bumpless.WAKE) == 0
    assert made.write("recipe", size=100) == 1
    assert made.activate() in (bumpless.NONE, bumpless.STANDBY, bumpless.ACTIVE)
    return made


def becomes_active(participant):
    for _ in range(5000):
        cycle = participant.begin()
        if cycle.active:
            return cycle
        participant.wait(soon())
    raise AssertionError("it does not become active")


def fresh():
    level = numpy.zeros((2, 2)) if HAS_NUMPY else array.array("d", [0.0] * 4)
    return {"level": level, "valves": array.array("i", [0, 0, 0]), "text": bytearray(8)}


state, other = fresh(), fresh()
with controller(state) as first, controller(other) as second:
    becomes_active(first)
    with bumpless.Participant("plc", runtime_dir=FOLDER) as reader:
        plant = reader.attach("plant", {"level": ("d", 4), "valves": ("i", 3), "text": ("B", 8)})
        reader.activate()
        for number in range(1, 11):
            assert first.begin().active
            memoryview(state["level"]).cast("B").cast("d")[3] = number * 0.5
            state["valves"][2] = number
            state["text"][:4] = b"beer"
            first.open(1)[99] = number
            assert first.may_act
            first.commit()
        image = reader.read(plant)
        for _ in range(5000):
            if image.new:
                break
            reader.wait(soon())
            image = reader.read(plant)
        assert image.new and image.epoch == 1 and image.cycle == 10, (image.new, image.epoch, image.cycle)
        assert image["level"][3] == 5.0 and image["valves"].tolist() == [0, 0, 10]
        assert image["text"].tobytes() == b"beer\0\0\0\0" and image.view.readonly
        if HAS_NUMPY:
            assert numpy.asarray(image["level"]).sum() == 5.0
        assert not reader.read(plant).new
    try:
        second.commit()
        raise AssertionError("a standby commits")
    except bumpless.Error as error:
        assert error.name in ("BMPL_E_PHASE", "BMPL_E_NOT_ACTIVE") and "begin" in str(error), error
    first.deactivate()
    cycle = becomes_active(second)
    assert cycle.restored and cycle.flags & bumpless.TOOK_OVER and cycle.cycle == 11, cycle.cycle
    assert memoryview(other["level"]).cast("B").cast("d")[3] == 5.0 and other["valves"][2] == 10
    assert bytes(other["text"][:4]) == b"beer" and second.open(1)[99] == 10
    info = second.info(0)
    assert info.name == b"plant" and info.size == 32 + 16 + 8 and info.commit_cost_ns > 0

assert "pointer" not in " ".join(bumpless.lint({"a": ("d", 1)}))
assert len(bumpless.lint({"a": ("d", 1), "A": ("d", 1)})) == 1
for wrong in ({"x": b"read only"}, {"x": memoryview(bytearray(8))[::2]}):
    try:
        bumpless.Participant("plc").write("plant", wrong)
        raise AssertionError("it is taken")
    except TypeError as error:
        assert "block x" in str(error)
try:
    bumpless.Participant("a b")
    raise AssertionError("it is a name")
except bumpless.Error as error:
    assert error.name == "BMPL_E_NAME" and "a b" in str(error)
print("fine", bumpless.version())
