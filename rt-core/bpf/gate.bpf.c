/* The output gate: the last hook before a LAN port (tc egress).
 *
 * A frame of the output class passes while the clock is before the owner's deadline, before the
 * frame's own deadline if it carries one, and its cycle is open. Other frames pass. The clock is
 * read here, last: no program in user space has to be alive for the gate to close.
 *
 * CLOCK_BOOTTIME, because a machine that slept must find its lease expired. The frame's own
 * deadline is its transmit time (SO_TXTIME), for which the kernel takes CLOCK_MONOTONIC.
 */
#include "kernel.h"

/* The words of rt-core/src/gate.rs, whose test compares the numbers below. */
struct gate {
	u64 owner_deadline_ns;
	u64 open_cycle;
	u64 unused_a[6];
	u64 passed;
	u64 refused_late;
	u64 refused_stale;
	u64 refused_early;
	u64 unused_b[4];
};
SIZE(struct gate, 128);
OFFSET(struct gate, owner_deadline_ns, 0);
OFFSET(struct gate, open_cycle, 8);
OFFSET(struct gate, passed, 64);
OFFSET(struct gate, refused_late, 72);
OFFSET(struct gate, refused_stale, 80);
OFFSET(struct gate, refused_early, 88);

SHARED_ARRAY(gate_words, struct gate, 1);

/* Set before loading, by tests only: this instant, for both clocks. */
const volatile u64 test_now_ns = 0;

#define OUTPUT_CLASS_BIT (1u << 31)
#define CYCLE_MASK (OUTPUT_CLASS_BIT - 1)
#define ALL_CYCLES (~0ull)

INLINE int is_open(u64 open_cycle, u32 cycle)
{
	/* 31 bits of the cycle are carried: what lies less than 2^30 back is open. */
	return open_cycle == ALL_CYCLES || (((u32)open_cycle - cycle) & CYCLE_MASK) < 1u << 30;
}

SECTION("classifier") int gate(struct __sk_buff *skb)
{
	u32 zero = 0, mark = skb->mark;
	u64 deadline, stale_ns, open_cycle, *count;
	struct gate *words;

	if (!(mark & OUTPUT_CLASS_BIT))
		return TC_ACT_OK;
	words = map_lookup(&gate_words, &zero);
	if (!words)
		return TC_ACT_SHOT;
	deadline = LOAD(words->owner_deadline_ns);
	open_cycle = LOAD(words->open_cycle);
	stale_ns = skb->tstamp;
	if (!is_open(open_cycle, mark & CYCLE_MASK))
		count = &words->refused_early;
	else if (stale_ns && (test_now_ns ?: monotonic_ns()) >= stale_ns)
		count = &words->refused_stale;
	else if ((test_now_ns ?: boottime_ns()) >= deadline)
		count = &words->refused_late;
	else
		count = &words->passed;
	__sync_fetch_and_add(count, 1);
	if (count != &words->passed)
		return TC_ACT_SHOT;
	/* A queue behind this hook would hold the frame back until then. */
	if (stale_ns)
		skb->tstamp = 0;
	return TC_ACT_OK;
}

const char terms[] SECTION("license") = "Dual MIT/GPL";
