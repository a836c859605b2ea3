//! Programs of different versions.

use std::time::Duration as StdDuration;

use bumpless::attach::RefusalCode;
use bumpless::os::participant::{
    AttachError, Options, ReaderOptions, RegionOptions, Restored, Setup,
};
use bumpless::page::Role;
use bumpless::schema::{Block, Kind, MapPolicy, SchemaBuilder};

use crate::daemon::Daemon;
use crate::name;

#[test]
fn state_of_another_program_version_is_refused_or_mapped_by_name() {
    let daemon = Daemon::start("versions");
    let mut buffer = [0; 256];
    let mut builder = SchemaBuilder::new(&mut buffer);
    builder.push(Block { name: "speed", kind: Kind::F64, count: 1 }).unwrap();
    builder.push(Block { name: "count", kind: Kind::U64, count: 1 }).unwrap();
    let old = builder.finish().unwrap();
    let mut setup = Setup::new(Options::new(name("plc"), daemon.socket()));
    setup.register(RegionOptions::of_schema(name("plant"), &old)).unwrap();
    let (_participant, mut cyclic) = setup.activate().unwrap();
    cyclic.begin();
    let image = [1.5f64.to_le_bytes(), 7u64.to_le_bytes()].concat();
    for _ in 0..1_000 {
        if cyclic.commit(|_| [&image[..]]).is_ok() {
            break;
        }
        std::thread::sleep(StdDuration::from_millis(1));
        cyclic.begin();
    }
    let mut buffer = [0; 256];
    let mut builder = SchemaBuilder::new(&mut buffer);
    for (name, kind) in [("count", Kind::U64), ("torque", Kind::F64), ("speed", Kind::F64)] {
        builder.push(Block { name, kind, count: 1 }).unwrap();
    }
    let new = builder.finish().unwrap();
    let reader = |map| {
        let mut setup = Setup::new(Options::new(name("plc"), daemon.socket()));
        let schema = new.octets().to_vec();
        setup.attach(ReaderOptions { schema, map, ..ReaderOptions::new(name("plant")) }).unwrap();
        setup.activate()
    };
    let refused = reader(None).unwrap_err();
    assert!(matches!(refused, AttachError::Mismatch { .. }), "{refused}");
    let text = refused.to_string();
    assert!(text.contains("plant") && text.contains("count") && text.contains("0x"), "{text}");
    let (_reader, mut reading) = reader(Some(MapPolicy::SameCount)).unwrap();
    reading.begin();
    reading.read(0, false).unwrap();
    let (_, octets) = reading.image(0).unwrap();
    let expected = [7u64.to_le_bytes(), 0f64.to_le_bytes(), 1.5f64.to_le_bytes()].concat();
    assert_eq!(octets, expected);
}

#[test]
fn a_newer_program_takes_over_by_name_where_that_is_allowed() {
    let daemon = Daemon::start("upgrade");
    let program = |region, blocks: &[&str]| {
        let mut buffer = [0; 256];
        let mut builder = SchemaBuilder::new(&mut buffer);
        for name in blocks {
            builder.push(Block { name, kind: Kind::U64, count: 1 }).unwrap();
        }
        let schema = builder.finish().unwrap();
        let mut setup = Setup::new(Options::new(name("plc"), daemon.socket()));
        let map = Some(MapPolicy::SameCount);
        let options = RegionOptions { map, ..RegionOptions::of_schema(name(region), &schema) };
        setup.register(options).unwrap();
        setup.activate()
    };
    let image =
        |words: &[u64]| -> Vec<u8> { words.iter().flat_map(|word| word.to_le_bytes()).collect() };
    let (old, mut cyclic) = program("log", &["count", "speed"]).unwrap();
    while cyclic.begin().role != Role::Active {}
    cyclic.commit(|_| [image(&[41, 1_500])].map(|it| &*it.leak())).unwrap();
    let (new, mut heir) = program("log", &["limit", "speed", "count"]).unwrap();
    // What it begins with stays where the former program had nothing.
    heir.initial_image(0).unwrap().copy_from_slice(&image(&[9, 9, 9]));
    heir.begin();
    assert_eq!(heir.image(0).unwrap().1, image(&[9, 1_500, 41]));
    old.deactivate();
    let cycle = (0..2_000).map(|_| heir.begin()).find(|cycle| {
        std::thread::sleep(StdDuration::from_millis(1));
        cycle.role == Role::Active
    });
    assert!(matches!(cycle.unwrap().took_over, Some(Restored::State { cycle: 1, .. })));
    assert_eq!(heir.image(0).unwrap().1, image(&[9, 1_500, 41]));
    heir.commit(|_| [image(&[9, 1_501, 42])].map(|it| &*it.leak())).unwrap();
    drop((new, heir));
    // Elsewhere it is refused, with both hashes and the first difference; also when nobody is there
    // any more but the state.
    let first = program("plant", &["count", "speed"]).unwrap();
    for first in [Some(first), None] {
        let refused = program("plant", &["count", "torque"]).map(|_| ()).unwrap_err();
        assert!(matches!(refused, AttachError::Refused { code: RefusalCode::OtherSchema, .. }));
        let text = refused.to_string();
        for part in ["region plant: ", "`torque`", "0x", "by_name", "region drop plant"] {
            assert_eq!(text.matches(part).count().min(1), 1, "{part} in {text}");
        }
        assert_eq!(text.matches("region plant: ").count(), 1, "{text}");
        drop(first);
    }
}
