//! Configuring: what a program says of itself and of its regions, until it is active.

use std::ffi::c_int;
use std::path::{Path, PathBuf};
use std::ptr;

use rt_core::limits::RING_SLOTS_DEFAULT;
use rt_core::os::clock::{MonotonicClock, sleep_until};
use rt_core::time::{Duration, Instant};

use super::blocks::{Described, described};
use super::call::{Outcome, loose};
use super::code::{
    BMPL_E_ARGUMENT, BMPL_E_DAEMON, BMPL_E_LIMIT, BMPL_E_NAME, BMPL_E_PHASE, BMPL_E_RESERVED,
    BMPL_E_SCHEMA, BMPL_E_TAKEN, BMPL_OK,
};
use super::detail::{Code, Detail};
use super::entry::{self, Entry, Phase, Stage};
use super::facts::Fixed;
use super::live::{Live, Piece, Region};
use super::types::{
    BMPL_READER_MAP_BY_NAME, BMPL_READER_WAKE, BMPL_REGION_IN_PLACE, BMPL_REGION_IS_READ,
    BMPL_REGION_IS_WRITTEN, BMPL_REGION_MAP_BY_NAME, BMPL_REGION_SEPARATE, BMPL_REGION_WAKE,
    BMPL_STANDBY_COLD, BMPL_STANDBY_DEFAULT, BMPL_STANDBY_HOT, BMPL_STANDBY_WARM, Handle, Options,
    ReaderOptions, RegionOptions,
};
use super::{fault, sized, text};
use crate::attach::StandbyClass;
use crate::os::participant::{
    self, ReaderOptions as ReaderSetup, RegionOptions as RegionSetup, Setup, WrongRegion,
};
use crate::schema::{ENCODED_OCTETS_MAX, MapPolicy, Schema, SchemaBuilder};
use crate::segment::RegionName;

/// Where instances keep their runtime folders.
const INSTANCES: &str = "/run/bumpless";
/// The daemon's socket in its runtime folder.
const SOCKET_NAME: &str = "regions.sock";
/// How long a look for an instance that is not there yet rests.
const LOOK_INTERVAL: Duration = Duration::from_millis(5);

/// What was said so far.
#[derive(Debug)]
pub(super) struct Configured {
    options: participant::Options,
    /// The runtime folder; none for that of the one instance that there is.
    folder: Option<PathBuf>,
    /// Checks each region as it comes; activation begins with a new one, so that it can be tried
    /// again.
    checked: Setup,
    asked: Vec<Asked>,
    regions: Vec<Region>,
}

#[derive(Clone, Debug)]
enum Asked {
    Write(RegionSetup),
    Read(ReaderSetup),
}

/// Makes a handle for a program of an application, and writes it to `handle`; null there when it
/// cannot. Nothing is connected yet.
///
/// Phase:  before all others
/// RT:     no
/// Thread: any
/// Errors: BMPL_E_ARGUMENT, BMPL_E_STRUCT_SIZE, BMPL_E_RESERVED, BMPL_E_NAME; BMPL_E_LIMIT for the
///         65th handle (bmpl_last_detail(NULL, ...) says why)
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bmpl_create(options: *const Options, handle: *mut *mut Handle) -> c_int {
    loose(|says| {
        if handle.is_null() || !handle.is_aligned() {
            return Err(says.fault(BMPL_E_ARGUMENT, format_args!("handle is null or misaligned")));
        }
        // SAFETY: neither null nor misaligned, so by the header's words a pointer is there.
        unsafe { handle.write(ptr::null_mut()) };
        // SAFETY: by the header's words, options are there, as long as they say.
        let options = unsafe { sized::read(options, says) }?;
        // SAFETY: by the header's words, its texts are there.
        let configured = unsafe { configured(&options, says) }?;
        let made = entry::insert(Box::new(configured)).ok_or_else(|| {
            let text = format_args!("more than {} handles: destroy some", super::table::PLACES);
            says.fault(BMPL_E_LIMIT, text)
        })?;
        // SAFETY: as above.
        unsafe { handle.write(made) };
        Ok(BMPL_OK)
    })
}

/// # Safety
/// The texts of the options are there, or null.
unsafe fn configured(options: &Options, says: &mut Detail) -> Result<Configured, Code> {
    zero(options.flags == 0 && options.reserved == [0; 4], "bmpl_options_t", says)?;
    // SAFETY: as promised by the caller.
    let application = unsafe { text::required(options.application, "application", says) }?;
    // SAFETY: as promised by the caller.
    let instance = unsafe { text::optional(options.instance, "instance", says) }?;
    // SAFETY: as promised by the caller.
    let runtime_dir = unsafe { text::optional(options.runtime_dir, "runtime_dir", says) }?;
    let application = name(application, "application", says)?;
    let folder = match (runtime_dir, instance) {
        (Some(folder), _) => Some(PathBuf::from(folder)),
        // One name: no path through other folders.
        (None, Some(instance)) => {
            let instance = name(instance, "instance", says)?;
            Some(Path::new(INSTANCES).join(instance.as_str()))
        }
        (None, None) => None,
    };
    let class = match options.standby_class {
        BMPL_STANDBY_DEFAULT | BMPL_STANDBY_HOT => StandbyClass::Hot,
        BMPL_STANDBY_WARM => StandbyClass::Warm,
        BMPL_STANDBY_COLD => StandbyClass::Cold,
        other => {
            let text = format_args!("standby_class is {other}: use one of BMPL_STANDBY_");
            return Err(says.fault(BMPL_E_ARGUMENT, text));
        }
    };
    let mut asked = participant::Options::new(application, PathBuf::new());
    asked.class = class;
    asked.cycle = Duration::from_nanos(options.cycle_ns);
    if options.connect_timeout_ms > 0 {
        asked.patience = Duration::from_millis(u64::from(options.connect_timeout_ms));
    }
    let checked = Setup::new(asked.clone());
    Ok(Configured { options: asked, folder, checked, asked: Vec::new(), regions: Vec::new() })
}

/// Adds a region that the program writes when it is active, and whose state it takes over.
/// The blocks' memory stays where it is until bmpl_deactivate.
///
/// Phase:  configure
/// RT:     no
/// Thread: any, one at a time
/// Errors: the region's number, from zero; BMPL_E_HANDLE, BMPL_E_FORKED, BMPL_E_PHASE, BMPL_E_BUSY,
///         BMPL_E_ARGUMENT, BMPL_E_STRUCT_SIZE, BMPL_E_RESERVED, BMPL_E_NAME, BMPL_E_LIMIT,
///         BMPL_E_SCHEMA (a pointer, too), BMPL_E_TAKEN for a name that was there before
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bmpl_register(handle: *mut Handle, region: *const RegionOptions) -> c_int {
    entry::configure(handle, |entry, configured, says| {
        // SAFETY: by the header's words, options are there, as long as they say.
        let options = unsafe { sized::read(region, says) }?;
        // SAFETY: by the header's words, its texts and blocks are there.
        let (setup, region) = unsafe { written(&options, says) }?;
        let fixed = Fixed {
            name: setup.name,
            flags: options.flags | BMPL_REGION_IS_WRITTEN,
            slots: u32::try_from(setup.slots).unwrap_or(u32::MAX),
            block_count: options.block_count,
            schema_hash: hash(&setup.schema),
        };
        let octets = setup.image_octets;
        let added = configured.checked.register(setup.clone());
        configured.add(entry, added, (Asked::Write(setup), region), (fixed, octets), says)
    })
}

/// Adds a region that the program only reads.
///
/// Phase:  configure
/// RT:     no
/// Thread: any, one at a time
/// Errors: the region's number, from zero; BMPL_E_HANDLE, BMPL_E_FORKED, BMPL_E_PHASE, BMPL_E_BUSY,
///         BMPL_E_ARGUMENT, BMPL_E_STRUCT_SIZE, BMPL_E_RESERVED, BMPL_E_NAME, BMPL_E_LIMIT,
///         BMPL_E_SCHEMA, BMPL_E_TAKEN for a name that was there before
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bmpl_attach(handle: *mut Handle, region: *const ReaderOptions) -> c_int {
    entry::configure(handle, |entry, configured, says| {
        // SAFETY: by the header's words, options are there, as long as they say.
        let options = unsafe { sized::read(region, says) }?;
        // SAFETY: by the header's words, its texts and blocks are there.
        let setup = unsafe { read_only(&options, says) }?;
        let fixed = Fixed {
            name: setup.name,
            flags: options.flags | BMPL_REGION_IS_READ,
            slots: 0,
            block_count: options.block_count,
            schema_hash: hash(&setup.schema),
        };
        let octets = Schema::parse(&setup.schema).map_or(0, |schema| schema.image_octets());
        let added = configured.checked.attach(setup.clone());
        let region = Region::read_only();
        configured.add(entry, added, (Asked::Read(setup), region), (fixed, octets), says)
    })
}

/// Measures what commits cost here, reaches the daemon, registers all regions and starts the
/// library's own thread. May be tried again when it fails.
///
/// Phase:  configure; the cyclic calls follow
/// RT:     no; waits for the daemon as long as connect_timeout_ms says
/// Thread: any, one at a time; not a real-time one
/// Errors: one of BMPL_ROLE_*; BMPL_E_HANDLE, BMPL_E_FORKED, BMPL_E_PHASE, BMPL_E_BUSY,
///         BMPL_E_DAEMON, BMPL_E_VERSION, BMPL_E_UNKNOWN, BMPL_E_PERMISSION, BMPL_E_TAKEN,
///         BMPL_E_LAYOUT, BMPL_E_SCHEMA, BMPL_E_COST, BMPL_E_LIMIT, BMPL_E_SYSTEM
#[must_use]
#[unsafe(no_mangle)]
pub extern "C" fn bmpl_activate(handle: *mut Handle) -> c_int {
    entry::change(handle, |entry, stage, says| {
        let Stage::Configuring(configured) = stage else {
            return Err(says.fault(BMPL_E_PHASE, format_args!("it was activated before")));
        };
        let setup = configured.setup(says)?;
        let activated = setup.activate().map_err(|error| fault::of_attach(&error, says));
        let (participant, cyclic) = activated?;
        let role = participant.office().role;
        let regions = std::mem::take(&mut configured.regions);
        let is_hot = configured.options.class == StandbyClass::Hot;
        *stage = Stage::Active(Box::new(Live::new(cyclic, regions, is_hot)));
        entry.show(participant);
        entry.enter_phase(Phase::Active);
        Ok(fault::role_number(role))
    })
}

/// Leaves: an active program's standby takes over. The program's blocks are its own again.
///
/// Phase:  after activation; bmpl_destroy follows
/// RT:     no; waits for the library's own thread
/// Thread: any, one at a time
/// Errors: zero; BMPL_E_HANDLE, BMPL_E_FORKED, BMPL_E_PHASE, BMPL_E_BUSY
#[unsafe(no_mangle)]
pub extern "C" fn bmpl_deactivate(handle: *mut Handle) -> c_int {
    entry::change(handle, |entry, stage, says| {
        if !matches!(stage, Stage::Active(_)) {
            return Err(says.fault(BMPL_E_PHASE, format_args!("it is not active")));
        }
        entry.enter_phase(Phase::Ended);
        if let Some(participant) = entry.hide() {
            participant.deactivate();
        }
        *stage = Stage::Ended;
        Ok(BMPL_OK)
    })
}

/// Gives a handle back, deactivated or not. Calls of other threads that are inside are waited for.
/// Null is fine.
///
/// Phase:  any
/// RT:     no
/// Thread: any but one that is inside another call of the handle (a signal handler)
/// Errors: zero; BMPL_E_HANDLE, BMPL_E_FORKED
#[unsafe(no_mangle)]
pub extern "C" fn bmpl_destroy(handle: *mut Handle) -> c_int {
    if handle.is_null() { BMPL_OK } else { entry::remove(handle) }
}

impl Configured {
    fn add(
        &mut self,
        entry: &Entry,
        added: Result<usize, WrongRegion>,
        (asked, region): (Asked, Region),
        (fixed, octets): (Fixed, usize),
        says: &mut Detail,
    ) -> Outcome {
        let number =
            added.map_err(|wrong| says.fault(number_of(&wrong), format_args!("{wrong}")))?;
        self.asked.push(asked);
        self.regions.push(region);
        if let Some(fact) = entry.facts.get(number) {
            let _first = fact.fixed.set(fixed);
            let octets = u64::try_from(octets).unwrap_or(u64::MAX);
            fact.size.store(octets, std::sync::atomic::Ordering::Relaxed);
        }
        Ok(c_int::try_from(number).unwrap_or(c_int::MAX))
    }

    /// What the Rust library activates.
    fn setup(&self, says: &mut Detail) -> Result<Setup, Code> {
        let mut options = self.options.clone();
        options.socket = self.socket(says)?;
        let mut setup = Setup::new(options);
        for asked in &self.asked {
            let added = match asked.clone() {
                Asked::Write(region) => setup.register(region),
                Asked::Read(region) => setup.attach(region),
            };
            added.map_err(|wrong| says.fault(number_of(&wrong), format_args!("{wrong}")))?;
        }
        Ok(setup)
    }

    fn socket(&self, says: &mut Detail) -> Result<PathBuf, Code> {
        if let Some(folder) = &self.folder {
            return Ok(folder.join(SOCKET_NAME));
        }
        let until = MonotonicClock::now().saturating_add(self.options.patience);
        only_instance(Path::new(INSTANCES), until, says)
    }
}

/// The socket of the one instance that there is, when there is one.
fn only_instance(root: &Path, until: Instant, says: &mut Detail) -> Result<PathBuf, Code> {
    loop {
        let entries = std::fs::read_dir(root).into_iter().flatten().flatten();
        let sockets = entries.map(|entry| entry.path().join(SOCKET_NAME));
        let mut sockets: Vec<PathBuf> = sockets.filter(|socket| socket.exists()).collect();
        let next = MonotonicClock::now().saturating_add(LOOK_INTERVAL);
        match (sockets.pop(), sockets.is_empty()) {
            (Some(only), true) => return Ok(only),
            (Some(_), false) => {
                let several = sockets.len() + 1;
                let root = root.display();
                let text = format_args!("{several} daemons run in {root}: name one as instance");
                return Err(says.fault(BMPL_E_ARGUMENT, text));
            }
            (None, _) if next > until => {
                let root = root.display();
                let text = format_args!(
                    "no daemon has regions in {root}; start bumplessd, or name its runtime_dir"
                );
                return Err(says.fault(BMPL_E_DAEMON, text));
            }
            (None, _) => sleep_until(next),
        }
    }
}

const fn number_of(wrong: &WrongRegion) -> c_int {
    match wrong {
        WrongRegion::Layout { .. } | WrongRegion::TooMany => BMPL_E_LIMIT,
        WrongRegion::Schema { .. } | WrongRegion::Size { .. } => BMPL_E_SCHEMA,
        WrongRegion::Twice(_) => BMPL_E_TAKEN,
    }
}

fn name(text: &str, what: &str, says: &mut Detail) -> Result<RegionName, Code> {
    RegionName::new(text).map_err(|wrong| {
        let text = text.escape_debug();
        says.fault(BMPL_E_NAME, format_args!("{what} `{text}`: {wrong}"))
    })
}

fn zero(is_zero: bool, what: &str, says: &mut Detail) -> Result<(), Code> {
    if is_zero {
        return Ok(());
    }
    let text =
        format_args!("{what} has a flag that is not known here, or a reserved field not zero");
    Err(says.fault(BMPL_E_RESERVED, text))
}

fn hash(schema: &[u8]) -> u64 {
    Schema::parse(schema).map_or(0, |schema| schema.hash())
}

/// A region to write, and how its image is made.
///
/// # Safety
/// The texts and blocks of the options are there, or null.
unsafe fn written(
    options: &RegionOptions,
    says: &mut Detail,
) -> Result<(RegionSetup, Region), Code> {
    const KNOWN: u32 =
        BMPL_REGION_IN_PLACE | BMPL_REGION_SEPARATE | BMPL_REGION_WAKE | BMPL_REGION_MAP_BY_NAME;
    let flags = options.flags;
    zero(flags & !KNOWN == 0 && options.reserved == [0; 4], "bmpl_region_options_t", says)?;
    // SAFETY: as promised by the caller.
    let region = unsafe { text::required(options.name, "name", says) }?;
    let name = name(region, "region", says)?;
    // SAFETY: as promised by the caller.
    let blocks = unsafe { described(options.blocks, options.block_count, says) }?;
    let in_place = flags & BMPL_REGION_IN_PLACE != 0;
    let whole = !options.address.is_null() || options.size != 0;
    if blocks.is_empty() != whole {
        let text = format_args!("region {name}: give it either blocks, or an address and a size");
        return Err(says.fault(BMPL_E_ARGUMENT, text));
    }
    let (schema, pieces) = if blocks.is_empty() {
        let octets = usize::try_from(options.size).unwrap_or(usize::MAX);
        (Vec::new(), vec![Piece { address: options.address, offset: 0, octets }])
    } else {
        gathered(&blocks, says)?
    };
    let octets = pieces.last().map_or(0, |last| last.offset.saturating_add(last.octets));
    if pieces.iter().any(|piece| piece.address.is_null() != in_place) {
        let wanted = if in_place { "is written in place: no address" } else { "needs addresses" };
        return Err(says.fault(BMPL_E_ARGUMENT, format_args!("region {name} {wanted}")));
    }
    let mut setup = RegionSetup::new(name, octets);
    setup.slots = match options.slots {
        0 => RING_SLOTS_DEFAULT,
        slots => usize::try_from(slots).unwrap_or(usize::MAX),
    };
    setup.schema = schema;
    setup.in_place = in_place;
    setup.separate = flags & BMPL_REGION_SEPARATE != 0;
    setup.woken = flags & BMPL_REGION_WAKE != 0;
    setup.map = (flags & BMPL_REGION_MAP_BY_NAME != 0).then_some(MapPolicy::AnyCount);
    let pieces = if in_place { Vec::new() } else { pieces };
    let separate = setup.separate;
    Ok((setup, Region::written(pieces, separate)))
}

/// # Safety
/// As of [`written`].
unsafe fn read_only(options: &ReaderOptions, says: &mut Detail) -> Result<ReaderSetup, Code> {
    let known = options.flags & !(BMPL_READER_MAP_BY_NAME | BMPL_READER_WAKE) == 0;
    let zeros = options.reserved == [0; 4] && options.reserved32 == 0;
    zero(known && zeros, "bmpl_reader_options_t", says)?;
    // SAFETY: as promised by the caller.
    let region = unsafe { text::required(options.name, "name", says) }?;
    let name = name(region, "region", says)?;
    // SAFETY: as promised by the caller.
    let blocks = unsafe { described(options.blocks, options.block_count, says) }?;
    if blocks.iter().any(|block| !block.address.is_null()) {
        let text = format_args!("region {name} is only read: its blocks have no address");
        return Err(says.fault(BMPL_E_ARGUMENT, text));
    }
    let schema = if blocks.is_empty() { Vec::new() } else { gathered(&blocks, says)?.0 };
    let mut setup = ReaderSetup::new(name);
    setup.schema = schema;
    setup.map = (options.flags & BMPL_READER_MAP_BY_NAME != 0).then_some(MapPolicy::AnyCount);
    setup.woken = options.flags & BMPL_READER_WAKE != 0;
    Ok(setup)
}

/// The schema of blocks, and where each stands in the image.
fn gathered(blocks: &[Described<'_>], says: &mut Detail) -> Result<(Vec<u8>, Vec<Piece>), Code> {
    let mut octets = vec![0; ENCODED_OCTETS_MAX];
    let mut builder = SchemaBuilder::new(&mut octets);
    let mut pieces = Vec::with_capacity(blocks.len());
    for described in blocks {
        let placed = builder
            .push(described.block)
            .map_err(|wrong| says.fault(BMPL_E_SCHEMA, format_args!("{wrong}")))?;
        let (offset, octets) = (placed.offset_octets, placed.octets);
        pieces.push(Piece { address: described.address, offset, octets });
    }
    let none = |wrong| says.fault(BMPL_E_SCHEMA, format_args!("{wrong}"));
    let schema = builder.finish().map_err(none)?;
    Ok((schema.octets().to_vec(), pieces))
}
