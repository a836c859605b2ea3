//! The kernel's command line: what it says, and what it should say.

use super::finding::{Finding, Remedy};
use crate::limits::CPU_INDEX_MAX;

/// The parameters of a command line, in order; the value is none where there is no `=`.
pub(super) fn parameters(line: &str) -> impl Iterator<Item = (&str, Option<&str>)> {
    // What stands behind ` -- ` is for the first process.
    line.split_whitespace()
        .take_while(|word| *word != "--")
        .map(|word| word.split_once('=').map_or((word, None), |(key, value)| (key, Some(value))))
}

/// The last value of a parameter.
pub(super) fn value<'a>(line: &'a str, key: &str) -> Option<&'a str> {
    parameters(line).filter(|(name, _)| *name == key).filter_map(|(_, value)| value).last()
}

/// Reads a list of CPUs as the command line has it: `1-3,5`, `all`, `N` for the last one, and
/// `0-31:2/4` for 2 of each 4; words in front of it (`domain,managed_irq,`) are flags.
pub(super) fn cpu_list(text: &str, last_cpu: usize) -> Option<Vec<usize>> {
    let number = |word: &str| match word {
        "N" => Some(last_cpu),
        word => word.parse().ok().filter(|cpu| *cpu <= CPU_INDEX_MAX),
    };
    let mut cpus = Vec::new();
    let is_flag = |part: &&str| {
        part.starts_with(|c: char| c.is_ascii_lowercase()) && *part != "all" || part.is_empty()
    };
    for part in text.split(',').skip_while(is_flag) {
        if part == "all" {
            cpus.extend(0..=last_cpu);
            continue;
        }
        let (range, step) = part.split_once(':').map_or((part, None), |(r, s)| (r, Some(s)));
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        let (first, last) = (number(first)?, number(last)?);
        if first > last {
            return None;
        }
        let (used, group) = match step {
            None => (1, 1),
            Some(step) => {
                let (used, group) = step.split_once('/')?;
                (used.parse().ok()?, group.parse().ok().filter(|&group: &usize| group > 0)?)
            }
        };
        cpus.extend((first..=last).filter(|cpu| (cpu - first) % group < used));
    }
    cpus.sort_unstable();
    cpus.dedup();
    Some(cpus)
}

/// What the kernel's command line lacks by all findings together: each parameter once, as written.
#[must_use]
pub fn boot_parameters(findings: &[Finding]) -> Vec<String> {
    let mut found: Vec<(&str, &str)> = Vec::new();
    for remedy in findings.iter().flat_map(|finding| &finding.remedies) {
        let Remedy::Boot { key, value } = remedy else { continue };
        match found.iter_mut().find(|(known, _)| known == key) {
            // The one that says more holds the other's CPUs, too.
            Some((_, known)) if known.len() < value.len() => *known = value,
            Some(_) => {}
            None => found.push((key, value)),
        }
    }
    let write = |(key, value): (&str, &str)| {
        if value.is_empty() { key.to_owned() } else { format!("{key}={value}") }
    };
    found.into_iter().map(write).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::os::host::Level;

    #[test]
    fn parameters_are_read_up_to_the_first_process() {
        let line = "root=/dev/sda1 quiet isolcpus=2 isolcpus=domain,3 -- isolcpus=9\n";
        assert_eq!(value(line, "isolcpus"), Some("domain,3"));
        assert_eq!(value(line, "quiet"), None);
        assert_eq!(parameters(line).count(), 4);
    }

    #[test]
    fn lists_of_cpus_have_all_forms_of_the_kernel() {
        for (text, cpus) in [
            ("2-3,5", vec![2, 3, 5]),
            ("domain,managed_irq,1", vec![1]),
            ("managed_irq,all", vec![0, 1, 2, 3]),
            ("all", vec![0, 1, 2, 3]),
            ("2-N", vec![2, 3]),
            ("0-7:2/4", vec![0, 1, 4, 5]),
            ("", vec![]),
            ("nohz", vec![]),
        ] {
            assert_eq!(cpu_list(text, 3), Some(cpus), "{text}");
        }
        for strange in ["1-", "3-1", "1,x", "0-7:2/0", "0-7:2", "99999999999", "0-4096"] {
            assert_eq!(cpu_list(strange, 3), None, "{strange}");
        }
    }

    #[test]
    fn each_parameter_is_suggested_once() {
        let finding = |id| Finding::new(id, "", Level::Warning, "", "");
        let findings = [
            finding("a").boot("isolcpus", "domain,3").boot("nosmt", ""),
            finding("b").boot("isolcpus", "domain,2-3"),
            finding("c").boot("nosmt", ""),
        ];
        assert_eq!(boot_parameters(&findings), ["isolcpus=domain,2-3", "nosmt"]);
    }
}
