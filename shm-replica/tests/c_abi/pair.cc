// The C++ header: an active participant, its standby and a reader. One argument: the runtime folder.
#include <bumpless.hpp>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <unistd.h>

#define REQUIRE(what)                                                                            \
    do {                                                                                         \
        if (!(what)) {                                                                           \
            std::fprintf(stderr, "%d: %s\n", __LINE__, #what);                                   \
            std::exit(1);                                                                        \
        }                                                                                        \
    } while (0)

enum class Mode : std::uint16_t { manual, automatic };

struct State {
    double level = 0;
    std::array<std::int32_t, 3> valves{};
    Mode mode = Mode::manual;
    char recipe[8] = "";
};

struct Log { std::uint64_t entries; };

static std::uint64_t soon() { return bmpl_now_ns() + 1000000; }

static bumpless::participant controller(const char *folder, State &state,
                                        std::uint32_t standby_class = BMPL_STANDBY_HOT) {
    bumpless::options options("plc", folder);
    options.cycle_ns = 1000000;
    options.standby_class = standby_class;
    bumpless::participant made(options);
    REQUIRE(made.write("plant", {bumpless::block("level", state.level), bumpless::block("valves", state.valves),
                                 bumpless::block("mode", state.mode), bumpless::block("recipe", state.recipe)},
                       BMPL_REGION_WAKE) == 0);
    REQUIRE(made.write_in_place("log", sizeof(Log)) == 1);
    REQUIRE(made.activate() >= 0);
    return made;
}

int main(int argc, char **argv) {
    REQUIRE(argc == 2);
    alarm(60);
    State state, other;
    bumpless::participant first = controller(argv[1], state);
    for (int i = 0; i < 5000 && !first.begin().active(); i++)
        first.wait(soon());
    bumpless::participant second = controller(argv[1], other);
    bumpless::participant reader(bumpless::options("plc", argv[1]));
    int plant = reader.attach("plant", BMPL_READER_MAP_BY_NAME, {bumpless::block<std::int32_t>("valves", 3)});
    REQUIRE(reader.activate() >= 0);
    for (int i = 1; i <= 10; i++) {
        auto cycle = first.begin();
        REQUIRE(cycle.active());
        state.level = i * 0.5;
        state.valves = {i, 2 * i, 3 * i};
        state.mode = Mode::automatic;
        std::strcpy(state.recipe, "beer");
        auto log = first.open<Log>(1);
        REQUIRE(log);
        (*log)->entries++;
        REQUIRE(first.may_act());
        REQUIRE(first.commit() == BMPL_OK);
    }
    REQUIRE(first.commit() == BMPL_E_PHASE);
    bumpless::result<bmpl_image_t> image{0, {}};
    for (int i = 0; i < 5000 && image.code != BMPL_READ_NEW; i++) {
        reader.wait(soon());
        image = reader.read(plant);
    }
    const std::int32_t *valves = static_cast<const std::int32_t *>(image->data);
    REQUIRE(image && image->size == 12 && valves[1] == 20);
    REQUIRE(second.commit() == BMPL_E_PHASE);
    first.deactivate();
    bumpless::cycle cycle = second.begin();
    for (int i = 0; i < 5000 && !cycle.active(); i++) {
        second.wait(soon());
        cycle = second.begin();
    }
    REQUIRE(cycle.has(BMPL_CYCLE_TOOK_OVER) && cycle.has(BMPL_CYCLE_RESTORED));
    REQUIRE(other.level == 5.0 && other.valves[2] == 30 && other.mode == Mode::automatic);
    REQUIRE(std::strcmp(other.recipe, "beer") == 0);
    auto log = second.open<Log>(1);
    REQUIRE(log && (*log)->entries == 10);
    auto info = second.info(0);
    REQUIRE(info && std::strcmp(info->name, "plant") == 0 && info->commit_cost_ns > 0);

    // A third one that does not follow along: it looks when it is told to, and when it takes over.
    State third_state;
    bumpless::participant third = controller(argv[1], third_state, BMPL_STANDBY_WARM);
    REQUIRE(!third.begin().active() && third.restore() == 1 && third_state.level == 5.0);
    REQUIRE(second.begin().active());
    other.level = 7.5;
    REQUIRE(second.open<Log>(1) && second.commit() == BMPL_OK);
    bumpless::result<bmpl_image_t> seen = third.read(0);
    REQUIRE(seen.code == BMPL_READ_NEW && static_cast<const double *>(seen->data)[0] == 7.5);
    REQUIRE(third.read(0).code == BMPL_READ_NOTHING_NEW && third.restore() == 1 && third_state.level == 7.5);
    REQUIRE(second.begin().active());
    other.level = 8.5;
    REQUIRE(second.commit() == BMPL_OK);
    second.deactivate();
    for (cycle = third.begin(); !cycle.active(); cycle = third.begin())
        third.wait(soon());
    REQUIRE(cycle.has(BMPL_CYCLE_RESTORED) && third_state.level == 8.5 && cycle->epoch == 3);

    bumpless::participant moved = std::move(third);
    REQUIRE(moved.role() == BMPL_ROLE_ACTIVE && third.role() == BMPL_E_HANDLE);
    try {
        moved.activate();
        REQUIRE(false);
    } catch (const bumpless::error &error) {
        REQUIRE(error.code() == BMPL_E_PHASE && std::strstr(error.what(), "bmpl_activate"));
    }
    try {
        bumpless::participant none(bumpless::options("no such name"));
        REQUIRE(false);
    } catch (const bumpless::error &error) {
        REQUIRE(error.code() == BMPL_E_NAME && std::strstr(error.what(), "no such name"));
    }
    static_assert(noexcept(moved.begin()) && noexcept(moved.commit()) && noexcept(moved.wait(0)));
    std::puts("fine");
    return 0;
}
