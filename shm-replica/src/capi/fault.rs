//! What the Rust library says, as codes of the C interface.

use std::ffi::c_int;
use std::io;

use super::code::{
    BMPL_E_CORRUPT, BMPL_E_COST, BMPL_E_DAEMON, BMPL_E_INTERNAL, BMPL_E_LAYOUT, BMPL_E_LIMIT,
    BMPL_E_NOT_ACTIVE, BMPL_E_PERMISSION, BMPL_E_PHASE, BMPL_E_REGION, BMPL_E_SCHEMA,
    BMPL_E_SYSTEM, BMPL_E_TAKEN, BMPL_E_UNKNOWN, BMPL_E_VERSION,
};
use super::detail::{Code, Detail};
use super::types::{BMPL_ROLE_ACTIVE, BMPL_ROLE_NONE, BMPL_ROLE_STANDBY};
use crate::attach::{Malformed, RefusalCode};
use crate::image::NoImage;
use crate::os::participant::{AttachError, CycleError};
use crate::os::segment::SegmentError;
use crate::page::Role;

/// Why activation failed.
pub(super) fn of_attach(error: &AttachError, says: &mut Detail) -> Code {
    let number = match error {
        AttachError::NoDaemon { why, .. } if why.kind() == io::ErrorKind::PermissionDenied => {
            BMPL_E_PERMISSION
        }
        AttachError::NoDaemon { .. } | AttachError::Silent | AttachError::HungUp => BMPL_E_DAEMON,
        AttachError::Refused { code, .. } => of_refusal(*code),
        AttachError::Malformed(Malformed::Version(_)) | AttachError::OtherAnswer => BMPL_E_VERSION,
        AttachError::Malformed(_) => BMPL_E_DAEMON,
        AttachError::TooLong(_) => BMPL_E_LIMIT,
        AttachError::Segment {
            why: SegmentError::OtherRegion(_) | SegmentError::OtherLayout(_) | SegmentError::Schema,
            ..
        } => BMPL_E_VERSION,
        AttachError::Segment { .. } | AttachError::System { .. } => BMPL_E_SYSTEM,
        AttachError::Mismatch { .. } => BMPL_E_SCHEMA,
        AttachError::Size { .. } => BMPL_E_LAYOUT,
    };
    says.fault(number, format_args!("{error}"))
}

const fn of_refusal(code: RefusalCode) -> c_int {
    match code {
        RefusalCode::UnknownRegion => BMPL_E_UNKNOWN,
        RefusalCode::NotPermitted => BMPL_E_PERMISSION,
        RefusalCode::Taken => BMPL_E_TAKEN,
        RefusalCode::OtherLayout => BMPL_E_LAYOUT,
        RefusalCode::OtherSchema => BMPL_E_SCHEMA,
        RefusalCode::TooCostly => BMPL_E_COST,
        RefusalCode::NoRoom => BMPL_E_LIMIT,
        RefusalCode::BadRequest => BMPL_E_DAEMON,
    }
}

/// Why a cyclic call did nothing. Real-time class: no allocation.
pub(super) fn of_cycle(error: CycleError, says: &mut Detail) -> Code {
    let number = match error {
        CycleError::NotBegun => BMPL_E_PHASE,
        CycleError::NotActive => BMPL_E_NOT_ACTIVE,
        CycleError::NoRegion(_) => BMPL_E_REGION,
        // Sizes were agreed on when the region was registered.
        CycleError::WrongSize(_) => BMPL_E_INTERNAL,
    };
    says.fault(number, format_args!("{error}"))
}

/// Why there is no image, where that is an error. Real-time class: no allocation.
pub(super) fn of_image(why: NoImage, says: &mut Detail) -> Code {
    let number = match why {
        NoImage::Corrupt(_) => BMPL_E_CORRUPT,
        NoImage::Nothing | NoImage::Lapped | NoImage::WrongSize(_) => BMPL_E_INTERNAL,
    };
    says.fault(number, format_args!("{why}"))
}

/// A role as the header has it.
pub(super) const fn role_number(role: Role) -> c_int {
    match role {
        Role::None => BMPL_ROLE_NONE.cast_signed(),
        Role::Standby => BMPL_ROLE_STANDBY.cast_signed(),
        Role::Active => BMPL_ROLE_ACTIVE.cast_signed(),
    }
}
