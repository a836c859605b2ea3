//! What a participant says of itself and of its regions before it is activated.

use std::path::PathBuf;

use rt_core::limits::{REGIONS_MAX, RING_SLOTS_DEFAULT, SCHEMA_OCTETS_MAX};
use rt_core::time::Duration;
use thiserror::Error;

use crate::attach::StandbyClass;
use crate::schema::{MapPolicy, Schema, WrongSchema};
use crate::segment::{Layout, RegionName, WrongLayout};

/// What a participant is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Options {
    /// The application that it is an instance of.
    pub application: RegionName,
    /// The daemon's socket.
    pub socket: PathBuf,
    /// How soon it can take over.
    pub class: StandbyClass,
    /// Its cycle; zero when it has none.
    pub cycle: Duration,
    /// How long [`super::Setup::activate`] waits for the daemon.
    pub patience: Duration,
}

impl Options {
    /// A hot standby without a cycle that waits five seconds for the daemon.
    #[must_use]
    pub const fn new(application: RegionName, socket: PathBuf) -> Self {
        Self {
            application,
            socket,
            class: StandbyClass::Hot,
            cycle: Duration::ZERO,
            patience: Duration::from_secs(5),
        }
    }
}

/// A region that a participant writes when it is active.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RegionOptions {
    /// Its name.
    pub name: RegionName,
    /// Octets of its image.
    pub image_octets: usize,
    /// Slots of its ring.
    pub slots: usize,
    /// What the image holds, encoded; empty when that is not said.
    pub schema: Vec<u8>,
    /// Whether its images are written in place, in the slot itself.
    pub in_place: bool,
    /// Whether it is committed by itself, and not with the others in one cut.
    pub separate: bool,
    /// Whether this participant waits for commits while it stands by, and so wants to be woken.
    pub woken: bool,
    /// How images of another schema are taken over, where the daemon lets another schema be; none:
    /// not at all.
    pub map: Option<MapPolicy>,
}

impl RegionOptions {
    /// A region of the usual number of slots, of which nothing is said.
    #[must_use]
    pub const fn new(name: RegionName, image_octets: usize) -> Self {
        Self {
            name,
            image_octets,
            slots: RING_SLOTS_DEFAULT,
            schema: Vec::new(),
            in_place: false,
            separate: false,
            woken: false,
            map: None,
        }
    }

    /// A region that holds what a schema says.
    #[must_use]
    pub fn of_schema(name: RegionName, schema: &Schema<'_>) -> Self {
        Self { schema: schema.octets().to_vec(), ..Self::new(name, schema.image_octets()) }
    }

    pub(super) fn layout(&self) -> Result<Layout, WrongLayout> {
        Layout::new(self.image_octets, self.slots, self.schema.len())
    }
}

/// A region that a participant only reads.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ReaderOptions {
    /// Its name.
    pub name: RegionName,
    /// What it takes the image for, encoded; empty when it does not care.
    pub schema: Vec<u8>,
    /// How images of another schema are read; none: not at all.
    pub map: Option<MapPolicy>,
    /// Whether it waits for commits, and so wants to be woken by them.
    pub woken: bool,
}

impl ReaderOptions {
    /// A reader that takes each image as it is, and does not wait.
    #[must_use]
    pub const fn new(name: RegionName) -> Self {
        Self { name, schema: Vec::new(), map: None, woken: false }
    }
}

/// What cannot be registered.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
pub enum WrongRegion {
    /// A size beyond its limits.
    #[error("region {name}: {wrong}")]
    Layout {
        /// The region.
        name: RegionName,
        /// What is wrong.
        wrong: WrongLayout,
    },
    /// The schema is none.
    #[error("region {name}: {wrong}")]
    Schema {
        /// The region.
        name: RegionName,
        /// What is wrong.
        wrong: Box<WrongSchema>,
    },
    /// The schema describes an image of another size.
    #[error("region {name}: the schema describes {described} octets, the image has {given}")]
    Size {
        /// The region.
        name: RegionName,
        /// By the schema.
        described: usize,
        /// Said.
        given: usize,
    },
    /// It was named before.
    #[error("region {0} was registered already")]
    Twice(RegionName),
    /// One too many.
    #[error("more than {REGIONS_MAX} regions: gather some of them in one")]
    TooMany,
}

/// A region with all that was said of it, checked.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Region {
    pub(super) name: RegionName,
    pub(super) schema: Vec<u8>,
    pub(super) map: Option<MapPolicy>,
    pub(super) woken: bool,
    /// What it writes there; none when it only reads.
    pub(super) written: Option<Written>,
}

/// How a region is written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Written {
    pub(super) layout: Layout,
    pub(super) in_place: bool,
    pub(super) separate: bool,
}

impl Region {
    pub(super) fn written(options: RegionOptions) -> Result<Self, WrongRegion> {
        let name = options.name;
        let layout = options.layout().map_err(|wrong| WrongRegion::Layout { name, wrong })?;
        let RegionOptions { image_octets: given, schema, in_place, separate, woken, map, .. } =
            options;
        let described = checked(name, &schema)?.map_or(given, |it| it.image_octets());
        if described != given {
            return Err(WrongRegion::Size { name, described, given });
        }
        let written = Some(Written { layout, in_place, separate });
        Ok(Self { name, schema, map, woken, written })
    }

    pub(super) fn read(options: ReaderOptions) -> Result<Self, WrongRegion> {
        let ReaderOptions { name, schema, map, woken } = options;
        checked(name, &schema)?;
        Ok(Self { name, schema, map, woken, written: None })
    }

    /// The schema, where there is one; it was checked.
    pub(super) fn schema(&self) -> Option<Schema<'_>> {
        Schema::parse(&self.schema).ok()
    }
}

fn checked(name: RegionName, schema: &[u8]) -> Result<Option<Schema<'_>>, WrongRegion> {
    if schema.is_empty() {
        return Ok(None);
    }
    if schema.len() > SCHEMA_OCTETS_MAX {
        let wrong = WrongLayout::SchemaOctets(schema.len());
        return Err(WrongRegion::Layout { name, wrong });
    }
    Schema::parse(schema).map(Some).map_err(|wrong| {
        let wrong = Box::new(wrong);
        WrongRegion::Schema { name, wrong }
    })
}
