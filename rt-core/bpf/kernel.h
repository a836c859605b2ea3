/* What the programs of this project use of the kernel's interface (stable since Linux 5.18).
 *
 * Written out here instead of taken from the system's headers: these differ between machines, and
 * with them the object that is compared byte for byte.
 */
#ifndef BUMPLESS_KERNEL_H
#define BUMPLESS_KERNEL_H

typedef unsigned char u8;
typedef unsigned short u16;
typedef signed short s16;
typedef unsigned int u32;
typedef unsigned long long u64;

#define SECTION(name) __attribute__((section(name), used))
#define INLINE static inline __attribute__((always_inline))
#define LOAD(word) (*(volatile __typeof__(word) *)&(word))
#define STORE(word, value) (*(volatile __typeof__(word) *)&(word) = (value))
#define OFFSET(type, field, octets) \
	_Static_assert(__builtin_offsetof(type, field) == (octets), #type "." #field)
#define SIZE(type, octets) _Static_assert(sizeof(type) == (octets), #type)

/* How BTF tells the kernel what a map is. */
#define MAP_NUMBER(name, value) int (*name)[value]
#define MAP_TYPE(name, value) __typeof__(value) *name
/* An array that user space can map: values stand one behind the other, each a multiple of eight
 * octets long. */
#define SHARED_ARRAY(name, value_type, entries) \
	struct { \
		MAP_NUMBER(type, 2); \
		MAP_NUMBER(map_flags, 1 << 10); \
		MAP_NUMBER(max_entries, entries); \
		MAP_TYPE(key, u32); \
		MAP_TYPE(value, value_type); \
	} name SECTION(".maps")

static void *(*const map_lookup)(void *map, const void *key) = (void *)1;
static u64 (*const monotonic_ns)(void) = (void *)5;
static long (*const skb_load)(const void *skb, u32 at, void *to, u32 octets) = (void *)26;
static u64 (*const boottime_ns)(void) = (void *)125;
static long (*const xdp_octets)(const void *frame) = (void *)188;
static long (*const xdp_load)(const void *frame, u32 at, void *to, u32 octets) = (void *)189;

/* The kernel rewrites accesses by their offset. */
struct __sk_buff {
	u32 len;
	u32 pkt_type;
	u32 mark;
	u32 queue_mapping;
	u32 protocol;
	u32 vlan_present;
	u32 unused[32];
	u64 tstamp;
};
OFFSET(struct __sk_buff, tstamp, 152);

struct xdp_md {
	u32 data;
	u32 data_end;
};

enum { TC_ACT_OK = 0, TC_ACT_SHOT = 2, TC_ACT_REDIRECT = 7 };
enum { XDP_DROP = 1, XDP_PASS = 2, XDP_REDIRECT = 4 };

#endif
