// bumpless for C++17: handles that give themselves back, blocks whose kinds come from their types.
//
// Configuring throws bumpless::error. The cyclic calls do not: they are noexcept and return a result
// that cannot be ignored without a word, since a control loop has no place for an exception.
//
//     bumpless::participant plc(bumpless::options("plc"));
//     int plant = plc.write("plant", {bumpless::block("level", level), bumpless::block("gain", gain)});
//     plc.activate();
//     for (;;) {
//         auto cycle = plc.begin();
//         if (cycle.active()) { /* control */ if (plc.commit() == BMPL_OK) { /* act */ } }
//     }
#ifndef BUMPLESS_HPP
#define BUMPLESS_HPP

#include <bumpless.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <stdexcept>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

namespace bumpless {

/// What configuring throws: the code, and in what() the call, its text and the remedy.
class error : public std::runtime_error {
public:
    error(const char *call, int code, const bmpl_t *handle)
        : std::runtime_error(std::string(call) + ": " + bmpl_error_name(code) + ": " + detail(handle, code)),
          code_(code) {}
    int code() const noexcept { return code_; }

private:
    static std::string detail(const bmpl_t *handle, int code) {
        char text[1025];
        return bmpl_last_detail(handle, text, sizeof text) > 0 ? text : bmpl_strerror(code);
    }
    int code_;
};

/// What a cyclic call gives: a code, and where that is not negative a value.
template <typename T> struct [[nodiscard]] result {
    int code;
    T value;
    explicit operator bool() const noexcept { return code >= 0; }
    const T *operator->() const noexcept { return &value; }
    const T &operator*() const noexcept { return value; }
};

/// A cycle, and what this process is in it.
struct [[nodiscard]] cycle : result<bmpl_cycle_t> {
    bool active() const noexcept { return code == BMPL_ROLE_ACTIVE; }
    bool has(std::uint32_t flag) const noexcept { return code >= 0 && (value.flags & flag) != 0; }
};

namespace detail {
template <typename T> struct kind;
template <> struct kind<bool> { static constexpr std::uint32_t value = BMPL_KIND_BOOL; };
template <> struct kind<float> { static constexpr std::uint32_t value = BMPL_KIND_F32; };
template <> struct kind<double> { static constexpr std::uint32_t value = BMPL_KIND_F64; };
template <> struct kind<char> { static constexpr std::uint32_t value = BMPL_KIND_TEXT; };
template <> struct kind<std::byte> { static constexpr std::uint32_t value = BMPL_KIND_OCTETS; };
template <> struct kind<std::uint8_t> { static constexpr std::uint32_t value = BMPL_KIND_U8; };
template <> struct kind<std::uint16_t> { static constexpr std::uint32_t value = BMPL_KIND_U16; };
template <> struct kind<std::uint32_t> { static constexpr std::uint32_t value = BMPL_KIND_U32; };
template <> struct kind<std::uint64_t> { static constexpr std::uint32_t value = BMPL_KIND_U64; };
template <> struct kind<std::int8_t> { static constexpr std::uint32_t value = BMPL_KIND_I8; };
template <> struct kind<std::int16_t> { static constexpr std::uint32_t value = BMPL_KIND_I16; };
template <> struct kind<std::int32_t> { static constexpr std::uint32_t value = BMPL_KIND_I32; };
template <> struct kind<std::int64_t> { static constexpr std::uint32_t value = BMPL_KIND_I64; };

template <typename T> bmpl_block_t of(const char *name, T *at, std::size_t count) {
    if constexpr (std::is_enum_v<T>) {
        return {name, kind<std::underlying_type_t<T>>::value, static_cast<std::uint32_t>(count), at};
    } else {
        static_assert(!std::is_pointer_v<T>, "a pointer means nothing in another process");
        return {name, kind<T>::value, static_cast<std::uint32_t>(count), at};
    }
}
} // namespace detail

/// A block over a variable: its kind comes from its type. The variable stays where it is as long as
/// the participant is active.
template <typename T> bmpl_block_t block(const char *name, T &variable) {
    return detail::of(name, &variable, 1);
}
template <typename T, std::size_t N> bmpl_block_t block(const char *name, T (&variables)[N]) {
    return detail::of(name, &variables[0], N);
}
template <typename T, std::size_t N> bmpl_block_t block(const char *name, std::array<T, N> &variables) {
    return detail::of(name, variables.data(), N);
}
/// A block for reading: it has no variable.
template <typename T> bmpl_block_t block(const char *name, std::uint32_t count = 1) {
    bmpl_block_t block = detail::of<T>(name, nullptr, count);
    return block;
}

/// bmpl_options_t with its texts.
struct options {
    explicit options(std::string name, std::string folder = {})
        : application(std::move(name)), runtime_dir(std::move(folder)) {}
    std::string application;
    std::string runtime_dir;
    std::string instance{};
    std::uint64_t cycle_ns = 0;
    std::uint32_t standby_class = BMPL_STANDBY_DEFAULT;
    std::uint32_t connect_timeout_ms = 0;
};

/// A participant: one handle, given back at its end.
class participant {
public:
    explicit participant(const options &from) {
        bmpl_options_t it = BMPL_OPTIONS_INIT;
        it.application = from.application.c_str();
        it.instance = from.instance.empty() ? nullptr : from.instance.c_str();
        it.runtime_dir = from.runtime_dir.empty() ? nullptr : from.runtime_dir.c_str();
        it.cycle_ns = from.cycle_ns;
        it.standby_class = from.standby_class;
        it.connect_timeout_ms = from.connect_timeout_ms;
        check("bmpl_create", bmpl_create(&it, &handle_), nullptr);
    }
    ~participant() { bmpl_destroy(handle_); }
    participant(participant &&other) noexcept : handle_(std::exchange(other.handle_, nullptr)) {}
    participant &operator=(participant &&other) noexcept {
        std::swap(handle_, other.handle_);
        return *this;
    }
    participant(const participant &) = delete;
    participant &operator=(const participant &) = delete;

    // ---- Configure: these throw ----------------------------------------------------------------

    /// Adds a region of blocks that this program writes; its number.
    int write(const std::string &name, std::initializer_list<bmpl_block_t> blocks, std::uint32_t flags = 0) {
        bmpl_region_options_t it = BMPL_REGION_OPTIONS_INIT;
        it.name = name.c_str();
        it.flags = flags;
        it.blocks = blocks.begin();
        it.block_count = static_cast<std::uint32_t>(blocks.size());
        return check("bmpl_register", bmpl_register(handle_, &it), handle_);
    }
    /// Adds a region that is one structure; its number.
    template <typename T> int write(const std::string &name, T &state, std::uint32_t flags = 0) {
        static_assert(std::is_trivially_copyable_v<T>, "a state is plain octets");
        bmpl_region_options_t it = BMPL_REGION_OPTIONS_INIT;
        it.name = name.c_str();
        it.flags = flags;
        it.address = &state;
        it.size = sizeof state;
        return check("bmpl_register", bmpl_register(handle_, &it), handle_);
    }
    /// Adds a region that is written in place; its number.
    int write_in_place(const std::string &name, std::uint64_t size, std::uint32_t flags = 0) {
        bmpl_region_options_t it = BMPL_REGION_OPTIONS_INIT;
        it.name = name.c_str();
        it.flags = flags | BMPL_REGION_IN_PLACE;
        it.size = size;
        return check("bmpl_register", bmpl_register(handle_, &it), handle_);
    }
    /// Adds a region that this program reads; its number.
    int attach(const std::string &name, std::uint32_t flags = 0, std::initializer_list<bmpl_block_t> blocks = {}) {
        bmpl_reader_options_t it = BMPL_READER_OPTIONS_INIT;
        it.name = name.c_str();
        it.flags = flags;
        it.blocks = blocks.begin();
        it.block_count = static_cast<std::uint32_t>(blocks.size());
        return check("bmpl_attach", bmpl_attach(handle_, &it), handle_);
    }
    /// Reaches the daemon; the role.
    int activate() { return check("bmpl_activate", bmpl_activate(handle_), handle_); }

    // ---- Cyclic: these do not ------------------------------------------------------------------

    cycle begin() noexcept {
        cycle it{{0, BMPL_CYCLE_INIT}};
        it.code = bmpl_cycle_begin(handle_, &it.value);
        return it;
    }
    [[nodiscard]] int commit() noexcept { return bmpl_commit(handle_); }
    [[nodiscard]] int commit(int region) noexcept { return bmpl_commit_region(handle_, region); }
    /// The memory of a region in place, as T; null where there is an error.
    template <typename T> result<T *> open(int region) noexcept {
        static_assert(std::is_trivially_copyable_v<T>, "a state is plain octets");
        void *image = nullptr;
        int code = bmpl_open(handle_, region, &image);
        return {code, static_cast<T *>(image)};
    }
    result<bmpl_image_t> read(int region) noexcept {
        result<bmpl_image_t> it{0, BMPL_IMAGE_INIT};
        it.code = bmpl_read(handle_, region, &it.value);
        return it;
    }
    result<bmpl_image_t> read_next(int region) noexcept {
        result<bmpl_image_t> it{0, BMPL_IMAGE_INIT};
        it.code = bmpl_read_next(handle_, region, &it.value);
        return it;
    }
    [[nodiscard]] int restore() noexcept { return bmpl_restore(handle_); }
    int wait(std::uint64_t until_ns, int region = BMPL_NO_REGION) noexcept {
        return bmpl_wait(handle_, region, until_ns);
    }

    // ---- Any thread ----------------------------------------------------------------------------

    bool may_act() const noexcept { return bmpl_may_act(handle_) == 1; }
    int role() const noexcept { return bmpl_get_role(handle_); }
    int fd() const noexcept { return bmpl_get_fd(handle_); }
    result<bmpl_region_info_t> info(int region) const noexcept {
        result<bmpl_region_info_t> it{0, BMPL_REGION_INFO_INIT};
        it.code = bmpl_region_info(handle_, region, &it.value);
        return it;
    }
    void release_thread() noexcept { bmpl_release_thread(handle_); }
    int deactivate() noexcept { return bmpl_deactivate(handle_); }
    bmpl_t *handle() const noexcept { return handle_; }

private:
    static int check(const char *call, int code, const bmpl_t *handle) {
        if (code < 0)
            throw error(call, code, handle);
        return code;
    }
    bmpl_t *handle_ = nullptr;
};

} // namespace bumpless

#endif
