//! The controller of the simulated plant, killed at any point of its cycle: what the plant gets is
//! the same but for the cycles that are missed, and these are as many as the successor was told.

use std::path::Path;
use std::time::Duration;

use super::bench::{Bench, Started};
use super::number_behind;

/// Steps of the plant, and its tick.
const STEPS: usize = 400;
const TICK_US: u64 = 1_000;

/// Who is killed, and where.
#[derive(Clone, Debug)]
enum Death {
    /// Nobody.
    None,
    /// From outside: so long after the plant has made so many steps.
    Any { steps: usize, after: Duration },
    /// By itself, in its cycle of this number: at a point that `watched.c` knows.
    At { point: &'static str, cycle: u64 },
}

/// What a run of the plant came to.
struct Course {
    /// The output of each step, as it was used.
    outputs: Vec<String>,
    /// How many ticks of the plant passed without an output, before each step.
    missed: Vec<u64>,
    /// What each controller said.
    controllers: [String; 2],
    notes: Notes,
}

/// When the controllers' cycles were; `watched.c` says what each is.
struct Notes {
    whole_ns: u64,
    died_ns: u64,
    takes_ns: u64,
    gap_ns: u64,
    answered_ns: u64,
    cycles: u64,
}

impl Notes {
    fn read(path: &Path, killed_ns: u64) -> Self {
        let octets = std::fs::read(path).unwrap();
        let mut words = octets.chunks_exact(8).map(|it| u64::from_ne_bytes(it.try_into().unwrap()));
        let mut next = || words.next().unwrap();
        let [whole_ns, dies_ns, takes_ns, gap_ns, answered_ns, cycles] = [(); 6].map(|()| next());
        let died_ns = if dies_ns > 0 { dies_ns } else { killed_ns };
        Self { whole_ns, died_ns, takes_ns, gap_ns, answered_ns, cycles }
    }
}

fn now_ns() -> u64 {
    let now = nix::time::clock_gettime(nix::time::ClockId::CLOCK_MONOTONIC).unwrap();
    u64::try_from(Duration::from(now).as_nanos()).unwrap()
}

/// The plant with two controllers, of which one dies.
fn course(bench: &Bench, death: &Death) -> Course {
    let daemon = bench.daemon();
    let [wires, notes] = ["wires", "notes"].map(|name| bench.path(name));
    for left in [&wires, &notes] {
        let _ = std::fs::remove_file(left);
    }
    let [plant, pid, watched] = ["plant", "pid", "watched"].map(|name| bench.path(name));
    let wires = wires.to_str().unwrap();
    let watches = [
        format!("LD_PRELOAD={}", watched.display()),
        format!("WATCHED={}", notes.display()),
        pid.to_str().unwrap().to_owned(),
        daemon.runtime_dir().to_owned(),
        wires.to_owned(),
    ];
    let controller = |name: &str, dies: &Death| -> Started {
        let dies = match dies {
            Death::At { point, cycle } => format!("DIES={point} {cycle}"),
            Death::None | Death::Any { .. } => "LIVES=".to_owned(),
        };
        let arguments: Vec<&str> =
            std::iter::once(dies.as_str()).chain(watches.iter().map(String::as_str)).collect();
        bench.start(name, Path::new("/usr/bin/env"), &arguments)
    };
    let arguments = [wires, &STEPS.to_string(), &TICK_US.to_string()];
    let mut simulated = bench.start("plant", &plant, &arguments);
    let mut first = controller("first", death);
    let steps_made = |steps| bench.await_said("plant", "out", |it| it.lines().count() > steps);
    steps_made(20);
    let mut second = controller("second", &Death::None);
    let mut killed_ns = 0;
    match *death {
        Death::None => (),
        Death::Any { steps, after } => {
            steps_made(steps);
            std::thread::sleep(after);
            first.kill();
            killed_ns = now_ns();
        }
        Death::At { .. } => assert!(!first.ends().success(), "it has killed itself"),
    }
    assert!(simulated.ends().success());
    assert!(second.ends().success());
    if matches!(death, Death::None) {
        assert!(first.ends().success());
    }
    daemon.kill();
    let trace = bench.said("plant", "out");
    let mut outputs = Vec::new();
    let mut missed = Vec::new();
    for (index, line) in trace.lines().enumerate() {
        let mut words = line.split(' ');
        assert_eq!(words.next(), Some((index + 1).to_string().as_str()), "each step once");
        outputs.push(words.next().unwrap().to_owned());
        missed.push(words.next().unwrap().parse().unwrap());
    }
    assert_eq!(outputs.len(), STEPS);
    Course {
        outputs,
        missed,
        controllers: ["first", "second"].map(|name| bench.said(name, "err")),
        notes: Notes::read(&notes, killed_ns),
    }
}

/// Points of a cycle in an order that looks like none, the same in each run.
fn deaths() -> Vec<Death> {
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let mut below = |limit: u64| {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % limit
    };
    let mut deaths = Vec::new();
    for point in ["begun", "computed", "committed", "may-act"] {
        deaths.push(Death::At { point, cycle: 150 + below(200) });
        let steps = 60 + usize::try_from(below(300)).unwrap();
        deaths.push(Death::Any { steps, after: Duration::from_micros(below(2 * TICK_US)) });
    }
    deaths
}

#[test]
fn the_plant_gets_the_same_outputs_but_for_the_cycles_that_its_controllers_death_takes() {
    let bench = Bench::new("c-pid");
    bench.build("plant.c", &[]);
    bench.build("pid.c", &[]);
    let watched = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/c_examples/watched.c");
    bench.build(watched.to_str().unwrap(), &["-shared", "-fPIC", "-ldl"]);
    let quiet = course(&bench, &Death::None);
    assert_eq!(quiet.controllers[1], "", "nobody took over");
    for death in deaths() {
        let Course { outputs, missed, controllers, notes } = course(&bench, &death);
        let [first, second] = &controllers;
        assert!(first.starts_with("active after step 0,"), "{death:?}: {first}");
        assert_eq!(second.lines().count(), 1, "{death:?}: {second}");
        assert_eq!(outputs, quiet.outputs, "{death:?}: each output of each step, to the last bit");

        // The gap that the successor was told is what passed since the last commit: no less than
        // since the death, and no more than since the last cycle that came to its end.
        let gap_ns = number_behind(second, ",");
        assert_eq!(gap_ns, notes.gap_ns);
        assert!(gap_ns >= notes.takes_ns.saturating_sub(notes.died_ns), "{death:?}: {second}");
        assert!(gap_ns <= notes.answered_ns - notes.whole_ns, "{death:?}: {second}");
        assert_eq!(notes.cycles, 1, "{death:?}: who takes over acts in the same cycle");

        // The plant missed what it was told, with the two controllers' own cycles around the gap.
        // Two more: the tick that had begun when the last answer came, and the one that had begun
        // when the next did.
        let stated = (notes.answered_ns - notes.whole_ns) / (TICK_US * 1_000);
        let step = usize::try_from(number_behind(second, "step")).unwrap();
        // Its first answer is for the step that was committed last, or for the next one.
        let most = *missed[step - 1..(step + 1).min(STEPS)].iter().max().unwrap();
        assert!(most <= stated + 2, "{death:?}: {most} missed, {stated} stated: {second}");
        println!(
            "{death:?}: the gap is stated as {} us ({stated} cycles with the two around it), the \
             plant missed {most}",
            gap_ns / 1_000,
        );
    }
}
