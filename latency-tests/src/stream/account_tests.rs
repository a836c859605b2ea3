use super::*;
use proptest::prelude::*;

fn at(micros: u64) -> Instant {
    Instant::ORIGIN + Duration::from_micros(micros)
}

fn account_of(numbers: &[u64]) -> Account {
    let mut account = Account::default();
    for (&number, n) in numbers.iter().zip(0..) {
        account.arrived(number, at(number.wrapping_mul(10) % 1_000_000_000), at(n * 10 + 50), None);
    }
    account
}

#[test]
fn a_clean_stream_has_nothing_to_tell() {
    let mut account = account_of(&[0, 1, 2, 3]);
    account.ended(4);
    let report = account.report(1, None);
    assert_eq!((report.expected, report.received, report.distinct), (4, 4, 4));
    assert_eq!((report.lost, report.twice, report.more, report.reordered), (0, 0, 0, 0));
    assert_eq!(report.longest_gap_us, 10);
    assert_eq!(report.latency.p50_ns / 1_000, 50);
}

#[test]
fn losses_are_counted_at_the_end_too_when_the_end_is_known() {
    let mut account = account_of(&[0, 2]);
    assert_eq!(account.report(1, None).lost, 1);
    account.ended(10);
    assert_eq!(account.report(1, None).lost, 8);
    assert_eq!(account.report(1, Some(3)).lost, 1);
    assert_eq!(Account::default().report(1, Some(5)).lost, 5);
}

#[test]
fn a_number_beyond_the_expected_makes_up_for_no_lost_one() {
    assert_eq!(account_of(&[0, 1, 7]).report(1, Some(3)).lost, 1);
}

#[test]
fn twice_is_not_more_and_more_is_not_twice() {
    let report = account_of(&[0, 1, 1, 2, 2, 2, 3, 3, 3, 3, 3]).report(1, None);
    assert_eq!((report.twice, report.more, report.surplus), (1, 2, 7));
    assert_eq!(report.lost, 0);
}

#[test]
fn a_late_number_is_reordered_once_and_a_late_duplicate_is_not() {
    let report = account_of(&[1, 0, 3, 2, 0]).report(1, None);
    assert_eq!((report.reordered, report.twice), (2, 1));
}

#[test]
fn the_longest_gap_is_between_different_numbers() {
    let mut account = Account::default();
    for (number, micros) in [(0, 0), (0, 500), (1, 900), (2, 950)] {
        account.arrived(number, at(0), at(micros), None);
    }
    let report = account.report(1, None);
    assert_eq!((report.longest_gap_us, report.longest_gap_before), (900, Some(1)));
}

#[test]
fn a_number_out_of_range_takes_no_memory() {
    let report = account_of(&[0, u64::MAX, NUMBERS_MAX]).report(1, None);
    assert_eq!((report.received, report.out_of_range, report.expected), (1, 2, 1));
}

#[test]
fn streams_are_told_apart_and_damage_is_named() {
    let mut ledger = Ledger::new(Vec::new());
    let mut buffer = [0u8; 64];
    for stream in [1, 2] {
        let payload = Payload { kind: Kind::Data, stream, number: 0, sent_at: at(0) };
        payload.emit(&mut buffer);
        ledger.take(&buffer, at(1), Some(0xa064));
    }
    buffer[60] ^= 1;
    ledger.take(&buffer, at(2), None);
    buffer[9] ^= 1;
    ledger.take(&buffer, at(2), None);
    ledger.take(b"GET / HTTP/1.1", at(2), None);
    let report = ledger.report(None, 0);
    assert_eq!((report.unreadable, report.foreign), (1, 1));
    assert_eq!((report.streams[0].received, report.streams[0].corrupted), (1, 0));
    assert_eq!((report.streams[1].received, report.streams[1].corrupted), (1, 1));
    assert_eq!((report.streams[0].vlan_id, report.streams[0].vlan_pcp), (Some(100), Some(5)));
}

#[test]
fn a_flood_of_stream_ids_is_bounded() {
    let mut ledger = Ledger::new(Vec::new());
    let mut buffer = [0u8; 32];
    for stream in 0..10_000 {
        Payload { kind: Kind::Data, stream, number: 0, sent_at: at(0) }.emit(&mut buffer);
        ledger.take(&buffer, at(1), None);
    }
    assert_eq!(ledger.seen(), STREAMS_MAX);
    assert_eq!(ledger.report(None, 0).refused, 10_000 - 256);
}

#[test]
fn a_stream_that_was_asked_for_and_never_came_is_lost_whole() {
    let report = Ledger::new(vec![5]).report(Some(100), 0);
    assert_eq!((report.streams[0].stream, report.streams[0].lost), (5, 100));
}

proptest! {
    /// Against the naive model: a count per number.
    #[test]
    fn counts_agree_with_a_map(
        numbers in prop::collection::vec(0u64..100, 0..300),
        expected in 0u64..120,
    ) {
        let mut times = BTreeMap::new();
        for &number in &numbers {
            *times.entry(number).or_insert(0u64) += 1;
        }
        let count = |test: &dyn Fn(&(&u64, &u64)) -> bool| {
            u64::try_from(times.iter().filter(|entry| test(entry)).count()).unwrap()
        };
        let report = account_of(&numbers).report(1, Some(expected));
        prop_assert_eq!(report.distinct, count(&|_| true));
        prop_assert_eq!(report.twice, count(&|&(_, &n)| n == 2));
        prop_assert_eq!(report.more, count(&|&(_, &n)| n > 2));
        prop_assert_eq!(report.lost, expected - count(&|&(&number, _)| number < expected));
        prop_assert_eq!(report.surplus, report.received - report.distinct);
    }
}
