//! `bumpless check`: a configuration file as understood, or everything that is wrong with it.

use super::{CheckArgs, finish, json, print};
use crate::config::{Checked, DaemonConfig, describe, jitter};
use crate::exit::{ExitCode, Failure};

pub(super) fn run(args: &CheckArgs) -> Result<ExitCode, Failure> {
    let path = &args.file;
    let checked = DaemonConfig::from_toml(&crate::config::read_file(path)?).map(|mut checked| {
        checked.warnings.extend(jitter::warnings(checked.config.jitter.as_ref()));
        checked
    });
    match checked {
        Ok(Checked { config, warnings }) if args.json => {
            finish(&json(&describe::document(&config, &warnings))?)
        }
        Ok(Checked { config, warnings }) => finish(&format!(
            "# {} is valid; as understood, with defaults:\n{}",
            path.display(),
            describe::text(&config, &warnings)
        )),
        Err(errors) => {
            if args.json {
                print(&json(&describe::refusal_document(&errors.0))?)?;
            }
            Err(errors.into_failure(Some(path)))
        }
    }
}
