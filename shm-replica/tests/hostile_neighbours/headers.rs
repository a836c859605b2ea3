//! Each field of a segment's header with values that it should not have, under a checksum that
//! fits: only the check of the field itself is left. To whom it is handed: to one who opens it, to
//! participants by something that poses as the daemon, and to a true daemon's broker.

use std::path::Path;
use std::sync::mpsc::channel;

use crate::forge::{
    CHANGES, CRC, Change, EPOCH, IMAGE, SUPERSEDED, filled, for_writing, mend, reads_all, schema,
    set, word,
};
use crate::held::Desk;
use crate::impostor::{Impostor, encoded, page, proper};
use crate::{OCTETS, name};
use bumpless::attach::{Reply, StandbyClass};
use bumpless::os::participant::{AttachError, Options, ReaderOptions, RegionOptions, Setup};
use bumpless::os::segment::Segment;
use bumpless::page::{Office, Role};
use rt_core::time::Duration;

/// A field, and what becomes of a header in which it is another.
pub(crate) struct Field {
    name: &'static str,
    word: usize,
    /// A value that it might have in another segment.
    far: u64,
    /// What refusals say, one of these.
    says: &'static [&'static str],
    /// Changes with which it opens.
    opens: &'static [Change],
    /// What a participant's refusal of those says; a writer's may be that the layout is another.
    participant_says: &'static str,
    /// Which participants have to refuse those: a reader, a reader with a schema, a writer.
    refused_by: [bool; 3],
    /// What the broker says of those when it is to adopt one; empty where it does.
    broker_says: &'static str,
    /// Why those do no harm to who takes them.
    harmless: &'static str,
}

const REFUSED: Field = Field {
    name: "",
    word: 0,
    far: 0x1234_5678,
    says: &[],
    opens: &[],
    participant_says: "",
    refused_by: [false; 3],
    broker_says: "",
    harmless: "",
};

const ALL: &[Change] = &CHANGES;

const fn name_word(index: usize) -> Field {
    Field {
        name: "name, behind its end",
        word: 12 + index,
        far: 0x78,
        says: &["the segment's region: a region's name has"],
        ..REFUSED
    }
}

/// All of them.
const FIELDS: [Field; 21] = [
    Field { name: "magic", word: 0, says: &["this is no segment"], ..REFUSED },
    Field { name: "ready", word: 1, says: &["not complete"], ..REFUSED },
    Field { name: "ABI", word: 2, says: &["is of ABI"], ..REFUSED },
    Field { name: "layout", word: 3, says: &["is not this program's"], ..REFUSED },
    Field { name: "segment octets", word: 4, says: &["octets, not the"], ..REFUSED },
    Field {
        name: "image octets",
        word: 5,
        far: 1_000,
        says: &["choose 1 to", "octets, not the"],
        opens: &[Change::One, Change::Less, Change::More],
        participant_says: "its schema has been changed",
        refused_by: [false, true, true],
        broker_says: "schema",
        harmless: "it is as large with these, and all places follow from what was checked; \
                   no image's checksum fits another length, so a reader without a schema has none",
    },
    Field {
        name: "slots",
        word: 6,
        far: 40,
        says: &["slots: choose", "octets, not the"],
        opens: &[Change::More],
        participant_says: "laid out",
        refused_by: [false, false, true],
        harmless: "the segment is as large with these; a reader looks for a commit where it is not \
                   and finds another number there, or one that is whole",
        ..REFUSED
    },
    Field {
        name: "schema octets",
        word: 7,
        far: 4_097,
        says: &["a schema of", "octets, not the"],
        opens: &[Change::One, Change::Less, Change::More],
        participant_says: "its schema has been changed",
        refused_by: [false, true, true],
        broker_says: "schema",
        harmless: "the segment is as large with these, and the slots are where they were; who \
                   reads without a schema does not look at it",
    },
    Field {
        name: "schema hash",
        word: 8,
        opens: ALL,
        broker_says: "schema",
        harmless: "participants compare schemas and not their hashes; the daemon, which compares \
                   hashes, refuses one that is not its schema's",
        ..REFUSED
    },
    Field { name: "boot id", word: 9, says: &["started last"], ..REFUSED },
    Field { name: "boot id, second half", word: 10, says: &["started last"], ..REFUSED },
    Field { name: "machine", word: 11, says: &["another kind of machine"], ..REFUSED },
    Field {
        name: "name",
        word: 12,
        far: u64::from_le_bytes(*b"other\0\0\0"),
        says: &["the segment's region: a region's name has"],
        opens: &[Change::Less, Change::More, Change::Far],
        participant_says: "it is of region",
        refused_by: [true; 3],
        broker_says: "is not configured",
        harmless: "it is a segment of a region of that name",
    },
    name_word(1),
    name_word(2),
    name_word(3),
    name_word(4),
    name_word(5),
    name_word(6),
    name_word(7),
    // Of which nothing is mended.
    Field { name: "checksum", word: CRC, says: &["its checksum does not fit"], ..REFUSED },
];

impl Field {
    /// A segment with this field changed; none where that is no change.
    fn forged(&self, change: Change) -> Option<Segment> {
        let segment = filled();
        let value = change.of(word(&segment, self.word), self.far)?;
        set(&segment, self.word, value);
        if self.word != CRC {
            mend(&segment);
        }
        Some(segment)
    }

    /// Whether it opens; checks what is said where it does not.
    fn opens(&self, change: Change, error: Option<String>) -> bool {
        let Some(error) = error else {
            assert!(self.opens.contains(&change), "{} {change:?} is taken", self.name);
            assert!(!self.harmless.is_empty());
            return true;
        };
        assert!(!self.opens.contains(&change), "{} {change:?}: {error}", self.name);
        assert!(self.says.iter().any(|text| error.contains(text)), "{}: {error}", self.name);
        false
    }
}

fn each(mut look: impl FnMut(&Field, Change, Segment)) {
    for field in &FIELDS {
        for change in CHANGES {
            if let Some(segment) = field.forged(change) {
                look(field, change, segment);
            }
        }
    }
}

#[test]
fn the_table_of_fields_is_the_headers() {
    let segment = filled();
    let header = segment.header();
    let layout = header.layout;
    let at = |field: &str| word(&segment, FIELDS.iter().find(|it| it.name == field).unwrap().word);
    assert_eq!(at("magic"), u64::from_le_bytes(*b"BMPLSEG\0"));
    assert_eq!(at("ready"), u64::from_le_bytes(*b"complete"));
    assert_eq!(at("ABI"), bumpless::segment::ABI);
    assert_eq!(at("segment octets"), layout.segment_octets() as u64);
    assert_eq!(at("image octets"), layout.image_octets() as u64);
    assert_eq!(at("slots"), layout.slots() as u64);
    assert_eq!(at("schema octets"), layout.schema().len() as u64);
    assert_eq!(at("schema hash"), header.schema_hash);
    assert_eq!([at("boot id"), at("boot id, second half")], header.boot_id);
    assert_eq!(at("name"), u64::from_le_bytes(*b"plant\0\0\0"));
    assert!(FIELDS.iter().enumerate().all(|(index, field)| field.word == index));
    let sum = at("checksum");
    mend(&segment);
    assert_eq!((at("checksum"), sum > 0), (sum, true));
    segment.state().unwrap().set_epoch(77);
    segment.state().unwrap().supersede(78);
    assert_eq!((word(&segment, EPOCH), word(&segment, SUPERSEDED)), (77, 78));
    // Whatever else is in the header's page is zero, but the hint: there is no field beside these.
    let others = CRC + 1..layout.schema().start / 8;
    let is_set = others.filter(|&at| word(&segment, at) != 0).collect::<Vec<_>>();
    assert_eq!(is_set, [layout.place().newest, EPOCH, SUPERSEDED]);
}

#[test]
fn who_opens_a_segment_refuses_each_field_that_cannot_be_or_reads_within_what_there_is() {
    each(|field, change, segment| {
        // A reader that opened it before goes by what it checked then.
        let octets = segment.header().layout.segment_octets();
        for writable in [false, true] {
            let opened = Segment::open(for_writing(&segment), writable);
            let error = opened.as_ref().err().map(ToString::to_string);
            if field.opens(change, error) {
                let opened = opened.unwrap();
                assert_eq!(opened.header().layout.segment_octets(), octets);
                assert!(opened.header().layout.place().fits(opened.memory().len()));
                reads_all(opened);
            }
        }
    });
}

#[test]
fn a_bit_of_a_header_that_is_another_is_refused_and_not_seen_by_who_opened_it_before() {
    let segment = filled();
    let opened = || Segment::open(segment.for_reading().unwrap(), false);
    for bit in 0..(CRC + 1) * 64 {
        let before = opened().unwrap();
        set(&segment, bit / 64, word(&segment, bit / 64) ^ (1 << (bit % 64)));
        assert!(opened().is_err(), "bit {bit}");
        if bit % 16 == 0 {
            reads_all(before);
        }
        set(&segment, bit / 64, word(&segment, bit / 64) ^ (1 << (bit % 64)));
    }
    reads_all(opened().unwrap());
}

/// What a participant is that is handed a segment.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Who {
    Reader,
    ReaderWithSchema,
    Writer,
}

const EVERYBODY: [Who; 3] = [Who::Reader, Who::ReaderWithSchema, Who::Writer];

fn set_up(who: Who, socket: &Path) -> Setup {
    let mut options = Options::new(name("plc"), socket.to_owned());
    options.patience = Duration::from_millis(200);
    options.class = StandbyClass::Hot;
    let mut setup = Setup::new(options);
    if who == Who::Writer {
        let region =
            RegionOptions { schema: schema(), ..RegionOptions::new(name("plant"), OCTETS) };
        setup.register(RegionOptions { slots: 4, ..region }).unwrap();
    } else {
        let schema = if who == Who::Reader { Vec::new() } else { schema() };
        setup.attach(ReaderOptions { schema, ..ReaderOptions::new(name("plant")) }).unwrap();
    }
    setup
}

/// Attaches, and lives for some cycles.
fn lives(setup: Setup) -> Result<(), AttachError> {
    let (participant, mut cyclic) = setup.activate()?;
    for _ in 0..5 {
        let cycle = cyclic.begin();
        if cycle.role == Role::Active {
            let _any = cyclic.commit(|_| [&IMAGE[..]]);
        }
        let _any = (cyclic.read(0, false), cyclic.read(0, true));
        assert!(cyclic.image(0).is_none_or(|(_, image)| image == IMAGE));
    }
    participant.deactivate();
    Ok(())
}

#[test]
fn a_participant_refuses_what_an_impostor_hands_over_and_says_which_field_it_is() {
    for who in EVERYBODY {
        each(|field, change, segment| {
            let test = format!("field-{who:?}-{}-{change:?}", field.word);
            let impostor = Impostor::start(&test, move |_, octets| {
                let office = Office { role: Role::Active, epoch: 1 };
                Some(proper(octets, &mut |is_page| {
                    Some(if is_page { page(office) } else { for_writing(&segment) })
                }))
            });
            let error = lives(set_up(who, &impostor.socket())).err().map(|it| it.to_string());
            if !field.opens.contains(&change) {
                assert!(!field.opens(change, error), "{test}");
                return;
            }
            let refuses = field.refused_by[who as usize];
            assert_eq!(error.is_some(), refuses, "{test}: {error:?}");
            if let Some(error) = error {
                let is_layout = who == Who::Writer && error.contains("laid out");
                let names_it = is_layout || error.contains(field.participant_says);
                assert!(names_it && error.contains("plant"), "{test}: {error}");
            }
        });
    }
}

#[test]
fn a_participant_that_is_shown_such_a_segment_while_it_lives_goes_on() {
    each(|field, change, segment| {
        let test = format!("shown-{}-{change:?}", field.word);
        let (say, unasked) = channel();
        let answer = move |_: usize, octets: &[u8]| {
            let office = Office { role: Role::None, epoch: 1 };
            Some(proper(octets, &mut |is_page| {
                Some(if is_page { page(office) } else { filled().for_reading().unwrap() })
            }))
        };
        let impostor = Impostor::start_talking(&test, answer, unasked);
        let setup = set_up(Who::ReaderWithSchema, &impostor.socket());
        let (participant, mut cyclic) = setup.activate().unwrap();
        cyclic.begin();
        cyclic.read(0, false).unwrap();
        for reply in [Reply::Segment { index: 0, epoch: 2 }, Reply::Next { index: 0 }] {
            let file = segment.for_reading().unwrap();
            say.send((encoded(&reply), Some(file))).unwrap();
        }
        for _ in 0..10 {
            cyclic.begin();
            let _any = (cyclic.read(0, false), cyclic.read(0, true));
            assert!(cyclic.image(0).is_some_and(|(_, image)| image == IMAGE), "{test}");
            std::thread::sleep(std::time::Duration::from_micros(100));
        }
        participant.deactivate();
    });
}

#[test]
fn a_broker_adopts_no_segment_whose_header_was_changed_but_where_that_is_harmless() {
    each(|field, change, segment| {
        let test = format!("adopt-{}-{change:?}", field.word);
        let mut desk = Desk::start(&test, 1);
        let adopted = desk.broker.adopt(name("plc"), 1, for_writing(&segment));
        let error = adopted.err().map(|it| it.to_string());
        if field.opens.contains(&change) {
            assert_eq!(error.is_some(), !field.broker_says.is_empty(), "{test}: {error:?}");
            assert!(error.unwrap_or_default().contains(field.broker_says));
        } else {
            assert!(!field.opens(change, error), "{test}");
        }
        // Whether it has it or not: it reports, and serves who comes.
        assert_eq!(desk.broker.regions().len(), 3, "{test}");
        desk.serves_a_reader();
    });
}

#[test]
fn a_segment_whose_writer_gave_it_another_name_or_epoch_is_not_what_was_kept() {
    let kept = |test: &str, region: &[u8; 8], epoch, of: &str| {
        let segment = filled();
        set(&segment, 12, u64::from_le_bytes(*region));
        set(&segment, EPOCH, epoch);
        mend(&segment);
        let mut desk = Desk::start(test, 2);
        let kept = desk.broker.adopt(name(of), 1, for_writing(&segment));
        kept.map_err(|it| it.to_string())
    };
    assert_eq!(kept("kept-whole", b"plant\0\0\0", 1, "plc"), Ok(name("plant")));
    // Another region of the same application is its own to spoil.
    for (test, region, epoch) in
        [("kept-region", b"axis\0\0\0\0", 1), ("kept-epoch", b"plant\0\0\0", 2)]
    {
        let error = kept(test, region, epoch, "plc").unwrap_err();
        assert!(error.contains("was not kept as that"), "{test}: {error}");
    }
}

#[test]
fn an_owner_that_brings_a_segment_whose_header_was_changed_is_a_newcomer() {
    let mut desk = Desk::start("held-whole", 1);
    assert_eq!(desk.comes_back(filled()), (Role::Active, 1), "one that is whole is taken back");
    each(|field, change, segment| {
        let test = format!("held-{}-{change:?}", field.word);
        let mut desk = Desk::start(&test, 1);
        assert_eq!(desk.comes_back(segment), (Role::Active, 2), "{test}");
        desk.serves_a_reader();
    });
}

#[test]
fn a_broker_believes_no_state_word_that_cannot_be() {
    for (at, far) in [(EPOCH, 1 << 62), (SUPERSEDED, 1 << 62)] {
        for change in CHANGES {
            let forged = filled();
            let Some(value) = change.of(word(&forged, at), far) else { continue };
            set(&forged, at, value);
            let test = format!("state-{at}-{change:?}");
            let mut desk = Desk::start(&test, 1);
            let adopted = desk.broker.adopt(name("plc"), 1, for_writing(&forged)).is_ok();
            // One of the past that has commits is taken for that: it may be the only state.
            assert_eq!(adopted, at == SUPERSEDED, "{test}");
            assert_eq!(desk.broker.regions().len(), 3);
            desk.serves_a_reader();
            let mut desk = Desk::start(&test, 1);
            assert_eq!(desk.comes_back(forged), (Role::Active, 2), "{test}");
        }
    }
}
