/* Duplicate discard in the kernel, on the LRE's own tables.
 *
 * Decides what is common: a tagged frame of a node known to be doubly attached, with a number whose
 * block exists and needs no sweep. Everything else is left to the LRE, untouched and with nothing
 * written: unknown nodes, aliases, frames without RCT or of the other LAN, supervision, and every
 * step that makes, sweeps, retires or gives back a block (only the LRE knows the lists).
 *
 * One program for each LAN and hook, so that the LAN is a constant. Copies of a frame may be
 * decided on two CPUs at once; the fetch-or on `live` says which is the first. Rejected: a lock
 * (user space and a preempted program would wait for each other), one map entry per number.
 *
 * What a first copy becomes (cut, redirected) is not built yet: it is a return code.
 */
#include "../../rt-core/bpf/kernel.h"
#include "layout.h"

struct node_slot {
	u64 key;
	u64 last_seen_ns[2];
	u64 newest_and_tick; /* the newest number below, its tick above: replaced in one go */
	u32 hint[2];
	u32 next_in_bucket;
	u32 generation;
	u8 standing;
	u8 user_a[31];
	u64 last_tagged_ns;
	u64 user_b[2];
	u64 rx_tagged[2];
	u64 user_c[5];
	u64 alias_of_key;
	u64 user_d[3];
};
SIZE(struct node_slot, LRE_NODE_OCTETS);
OFFSET(struct node_slot, key, LRE_NODE_KEY);
OFFSET(struct node_slot, last_seen_ns, LRE_NODE_LAST_SEEN_NS);
OFFSET(struct node_slot, newest_and_tick, LRE_NODE_NEWEST);
OFFSET(struct node_slot, newest_and_tick, LRE_NODE_LAST_TICK - 4);
OFFSET(struct node_slot, hint, LRE_NODE_HINT);
OFFSET(struct node_slot, next_in_bucket, LRE_NODE_NEXT_IN_BUCKET);
OFFSET(struct node_slot, generation, LRE_NODE_GENERATION);
OFFSET(struct node_slot, standing, LRE_NODE_STANDING);
OFFSET(struct node_slot, last_tagged_ns, LRE_NODE_LAST_TAGGED_NS);
OFFSET(struct node_slot, rx_tagged, LRE_NODE_RX_TAGGED);
OFFSET(struct node_slot, alias_of_key, LRE_NODE_ALIAS_OF_KEY);

struct block {
	u8 born[LRE_BLOCK_NUMBERS];
	u64 live;
	u64 first_on_b;
	u64 second;
	u64 third;
	u64 owner;
	u32 group;
	u32 next_in_bucket;
	u32 next_in_wheel;
	u32 newest_tick;
	u32 swept_tick;
	u32 unused;
};
SIZE(struct block, LRE_BLOCK_OCTETS);
OFFSET(struct block, born, LRE_BLOCK_BORN);
OFFSET(struct block, live, LRE_BLOCK_LIVE);
OFFSET(struct block, first_on_b, LRE_BLOCK_FIRST_ON_B);
OFFSET(struct block, second, LRE_BLOCK_SECOND);
OFFSET(struct block, third, LRE_BLOCK_THIRD);
OFFSET(struct block, owner, LRE_BLOCK_OWNER);
OFFSET(struct block, group, LRE_BLOCK_GROUP);
OFFSET(struct block, next_in_bucket, LRE_BLOCK_NEXT_IN_BUCKET);
OFFSET(struct block, newest_tick, LRE_BLOCK_NEWEST_TICK);
OFFSET(struct block, swept_tick, LRE_BLOCK_SWEPT_TICK);

struct control {
	u64 valid_until_ns;
	u64 zero_ns;
	u64 tick_ns;
	u64 test_now_ns;
	u64 own_key;
	u64 node_secret;
	u64 block_secret;
	u32 node_buckets;
	u32 block_buckets;
};
SIZE(struct control, LRE_CONTROL_OCTETS);
OFFSET(struct control, valid_until_ns, LRE_CONTROL_VALID_UNTIL_NS);
OFFSET(struct control, zero_ns, LRE_CONTROL_ZERO_NS);
OFFSET(struct control, tick_ns, LRE_CONTROL_TICK_NS);
OFFSET(struct control, test_now_ns, LRE_CONTROL_TEST_NOW_NS);
OFFSET(struct control, own_key, LRE_CONTROL_OWN_KEY);
OFFSET(struct control, node_secret, LRE_CONTROL_NODE_SECRET);
OFFSET(struct control, block_secret, LRE_CONTROL_BLOCK_SECRET);
OFFSET(struct control, node_buckets, LRE_CONTROL_NODE_BUCKETS);
OFFSET(struct control, block_buckets, LRE_CONTROL_BLOCK_BUCKETS);

struct counters {
	u64 rx;
	u64 delivered;
	u64 left;
	u64 unused[5];
};
SIZE(struct counters, LRE_COUNTERS_OCTETS);
OFFSET(struct counters, rx, LRE_COUNTERS_RX);
OFFSET(struct counters, delivered, LRE_COUNTERS_DELIVERED);
OFFSET(struct counters, left, LRE_COUNTERS_LEFT);

/* Two heads of a hash: an array's values are multiples of eight octets, a head has four. */
struct heads {
	u32 head[2];
};

/* The numbers of entries are replaced before loading. */
SHARED_ARRAY(nodes, struct node_slot, 1);
SHARED_ARRAY(node_buckets, struct heads, 1);
SHARED_ARRAY(blocks, struct block, 1);
SHARED_ARRAY(block_buckets, struct heads, 1);
SHARED_ARRAY(control, struct control, 1);
SHARED_ARRAY(counters, struct counters, 2);

/* Set before loading, by tests only: time is what the control block says. */
const volatile u32 test_clock = 0;

/* A chain of a hash is followed so far. */
#define PROBES_MAX 8
/* The bit of an address that says "group", in its number. */
#define GROUP_KEY_BIT (1ull << 40)

enum verdict { LEFT, FIRST, REPEAT };

struct copy {
	u64 key;
	u32 lan;
	u16 number;
};

INLINE u16 be16(const u8 *at)
{
	return (u16)(at[0] << 8 | at[1]);
}

/* As `bucket_of` in prp/src/lre/memory.rs. */
INLINE u32 bucket_of(u64 key, u64 secret, u32 buckets)
{
	u64 mixed = key * secret;

	mixed = (mixed ^ (mixed >> 32)) * ((secret << 32 | secret >> 32) | 1);
	return (mixed >> 32) * buckets >> 32;
}

INLINE u32 head_of(void *map, u32 bucket)
{
	u32 pair = bucket / 2;
	struct heads *heads = map_lookup(map, &pair);

	if (!heads)
		return ~0u;
	return bucket % 2 ? LOAD(heads->head[1]) : LOAD(heads->head[0]);
}

INLINE struct node_slot *find_node(const struct control *told, u64 key, u32 *index)
{
	u32 at = head_of(&node_buckets, bucket_of(key, told->node_secret, told->node_buckets));

	for (u32 probe = 0; probe < PROBES_MAX; probe++) {
		struct node_slot *node = map_lookup(&nodes, &at);

		if (!node)
			return 0;
		if (LOAD(node->key) == key) {
			*index = at;
			return node;
		}
		at = LOAD(node->next_in_bucket);
	}
	return 0;
}

INLINE struct block *find_block(const struct control *told, u64 owner, u32 group, u32 *index)
{
	u64 mask = (1u << LRE_GROUP_BITS) - 1;
	u64 key = (owner << LRE_GROUP_BITS | owner >> (64 - LRE_GROUP_BITS)) ^ (group & mask);
	u32 at = head_of(&block_buckets, bucket_of(key, told->block_secret, told->block_buckets));

	for (u32 probe = 0; probe < PROBES_MAX; probe++) {
		struct block *block = map_lookup(&blocks, &at);

		if (!block)
			return 0;
		if (LOAD(block->owner) == owner && !((LOAD(block->group) ^ group) & mask)) {
			*index = at;
			/* Another group: the same numbers a wrap ago, to be retired. */
			return LOAD(block->group) == group ? block : 0;
		}
		at = LOAD(block->next_in_bucket);
	}
	return 0;
}

/* The rule for a copy in a block. Writes only when it decides. */
INLINE enum verdict record(struct block *block, u32 tick, u32 bit, u32 lan)
{
	u64 mask = 1ull << bit;

	if (tick - LOAD(block->newest_tick) > LRE_LIFE_TICKS)
		return LEFT;
	/* The LRE is far behind with its sweeps. */
	if (((tick - LOAD(block->swept_tick)) & LRE_SWEPT_TICK_MASK) >= LRE_SWEEP_TICKS)
		return LEFT;
	if (LOAD(block->live) & mask) {
		if ((u8)(tick - LOAD(block->born[bit])) > LRE_LIFE_TICKS)
			return LEFT;
	} else {
		/* Before `live` says that it counts. Who decides the other copy at this moment
		 * writes the same, or its neighbour. */
		STORE(block->born[bit], (u8)tick);
		if (!(__sync_fetch_and_or(&block->live, mask) & mask)) {
			if (lan)
				__sync_fetch_and_or(&block->first_on_b, mask);
			STORE(block->newest_tick, tick);
			return FIRST;
		}
	}
	if (__sync_fetch_and_or(&block->second, mask) & mask)
		__sync_fetch_and_or(&block->third, mask);
	return REPEAT;
}

INLINE enum verdict decide(const struct copy *copy)
{
	u32 zero = 0, lan = copy->lan, index = 0;
	struct control *told = map_lookup(&control, &zero);

	if (!told)
		return LEFT;
	u64 now = test_clock ? LOAD(told->test_now_ns) : monotonic_ns();
	if (now >= LOAD(told->valid_until_ns))
		return LEFT;
	if (copy->key == told->own_key || copy->key & GROUP_KEY_BIT)
		return LEFT;

	struct node_slot *node = find_node(told, copy->key | LRE_KEY_USED, &index);
	if (!node || LOAD(node->standing) < LRE_STANDING_PAIRED || LOAD(node->alias_of_key))
		return LEFT;
	u64 owner = (u64)LOAD(node->generation) << 32 | index;
	u32 tick = (now - LOAD(told->zero_ns)) / told->tick_ns;

	u64 before = LOAD(node->newest_and_tick);
	u32 newest = before;
	u32 number = newest + (u32)(s16)(copy->number - (u16)newest);
	if (tick - (u32)(before >> 32) > LRE_LIFE_TICKS || number - newest < 1u << 31)
		newest = number;

	u32 group = number / LRE_BLOCK_NUMBERS;
	u32 hint = LOAD(node->hint[lan]);
	u32 at = hint;
	struct block *block = map_lookup(&blocks, &at);
	if (!block || LOAD(block->owner) != owner || LOAD(block->group) != group) {
		block = find_block(told, owner, group, &at);
		if (!block)
			return LEFT;
	}
	enum verdict verdict = record(block, tick, number % LRE_BLOCK_NUMBERS, lan);
	if (verdict == LEFT)
		return LEFT;

	STORE(node->last_seen_ns[lan], now);
	STORE(node->last_tagged_ns, now);
	__sync_fetch_and_add(&node->rx_tagged[lan], 1);
	if (at != hint)
		STORE(node->hint[lan], at);
	/* When another CPU was faster, what it wrote is as new as this. */
	__sync_val_compare_and_swap(&node->newest_and_tick, before, (u64)tick << 32 | newest);
	return verdict;
}

INLINE void count(u32 lan, enum verdict verdict)
{
	struct counters *counts = map_lookup(&counters, &lan);

	if (!counts)
		return;
	if (verdict == LEFT) {
		__sync_fetch_and_add(&counts->left, 1);
		return;
	}
	__sync_fetch_and_add(&counts->rx, 1);
	if (verdict == FIRST)
		__sync_fetch_and_add(&counts->delivered, 1);
}

/* The head of a frame as far as the EtherType behind two tags, and its last six octets. */
struct ends {
	u8 head[22];
	u8 rct[6];
};

/* A shorter frame with an RCT is against the standard; the LRE sees to it. */
#define OCTETS_MIN 66

INLINE int is_tpid(u16 type)
{
	return type == 0x8100 || type == 0x88a8;
}

/* Whether the frame ends in an RCT of this LAN and is not supervision. `tags` were taken out. */
INLINE int is_ours(const struct ends *ends, u32 octets, u32 tags, u32 lan)
{
	u16 type = be16(ends->head + 12);
	u16 lan_and_size = be16(ends->rct + 2);
	u32 header = 14;

	if (be16(ends->rct + 4) != 0x88fb || lan_and_size >> 12 != 0xa + lan)
		return 0;
	if (is_tpid(type)) {
		header = 18;
		type = be16(ends->head + 16);
		if (!tags && is_tpid(type)) {
			header = 22;
			type = be16(ends->head + 20);
		}
	}
	if (type == 0x88fb)
		return 0;
	return header + (lan_and_size & 0xfff) == octets;
}

INLINE enum verdict judge(const struct ends *ends, u32 octets, u32 tags, u32 lan)
{
	enum verdict verdict = LEFT;

	if (is_ours(ends, octets, tags, lan)) {
		const u8 *head = ends->head;
		struct copy copy = {
			.key = (u64)be16(head + 6) << 32 | (u64)be16(head + 8) << 16 | be16(head + 10),
			.lan = lan,
			.number = be16(ends->rct),
		};
		verdict = decide(&copy);
	}
	count(lan, verdict);
	return verdict;
}

/* The call that copies octets of a frame: each hook has its own. */
typedef long (*loader)(const void *frame, u32 at, void *to, u32 octets);

INLINE int read_ends(const void *frame, loader load, u32 octets, struct ends *ends)
{
	return octets >= OCTETS_MIN && !load(frame, 0, ends->head, sizeof(ends->head)) &&
	       !load(frame, octets - 6, ends->rct, sizeof(ends->rct));
}

INLINE int classify(struct __sk_buff *skb, u32 lan)
{
	u32 octets = skb->len;
	struct ends ends;

	if (!read_ends(skb, skb_load, octets, &ends))
		return TC_ACT_OK;
	switch (judge(&ends, octets, skb->vlan_present, lan)) {
	case FIRST:
		return TC_ACT_REDIRECT;
	case REPEAT:
		return TC_ACT_SHOT;
	default:
		return TC_ACT_OK;
	}
}

INLINE int early(struct xdp_md *frame, u32 lan)
{
	u32 octets = xdp_octets(frame);
	struct ends ends;

	if (!read_ends(frame, xdp_load, octets, &ends))
		return XDP_PASS;
	switch (judge(&ends, octets, 0, lan)) {
	case FIRST:
		return XDP_REDIRECT;
	case REPEAT:
		return XDP_DROP;
	default:
		return XDP_PASS;
	}
}

SECTION("classifier") int discard_a(struct __sk_buff *skb) { return classify(skb, 0); }
SECTION("classifier") int discard_b(struct __sk_buff *skb) { return classify(skb, 1); }
SECTION("xdp") int discard_xdp_a(struct xdp_md *frame) { return early(frame, 0); }
SECTION("xdp") int discard_xdp_b(struct xdp_md *frame) { return early(frame, 1); }

const char terms[] SECTION("license") = "Dual MIT/GPL";
