//! `bumpless counters`: one counter per line, to be read, grepped and compared.

use super::text::{Side, Style, Table, number, span};
use super::{Ask, finish, json, wrong_document};
use crate::control::Request;
use crate::control::client::ask;
use crate::exit::{ExitCode, Failure};
use crate::report::{Counters, Document};

pub(super) fn run(args: &Ask) -> Result<ExitCode, Failure> {
    let Document::Counters(counters) = ask(&args.target.runtime_dir()?, &Request::Counters)? else {
        return Err(wrong_document());
    };
    if args.json {
        return finish(&json(&counters)?);
    }
    finish(&render(&counters, Style::of_stdout()))
}

fn render(counters: &Counters, style: Style) -> String {
    let since = format!("{}, over {}", counters.name, span(counters.uptime_ns));
    let mut table = Table::new(&[("Counter", Side::Left), (&since, Side::Right)]);
    for (name, value) in &counters.counters.0 {
        table.row(vec![name.clone(), number(*value)]);
    }
    table.render(style)
}
