//! What two CPUs share: a line that two threads of one core pass each other never leaves it, and
//! one that goes to another socket takes ten times as long.

use std::fs;

/// In words; empty where the machine does not tell.
#[must_use]
pub fn of(pair: [Option<usize>; 2]) -> String {
    let [Some(one), Some(other)] = pair else { return String::new() };
    if one == other {
        return "the same CPU".to_owned();
    }
    let list = |file: &str| {
        let path = format!("/sys/devices/system/cpu/cpu{one}/{file}");
        fs::read_to_string(path).ok().map(|text| has(&text, other))
    };
    match (list("topology/thread_siblings_list"), list("cache/index3/shared_cpu_list")) {
        (Some(true), _) => "threads of one core".to_owned(),
        (Some(false), Some(true)) => "two cores with one third-level cache".to_owned(),
        (Some(false), Some(false)) => "two cores, each with its own third-level cache".to_owned(),
        (Some(false), None) => "two cores".to_owned(),
        (None, _) => String::new(),
    }
}

/// Whether a list of CPUs as the kernel writes it, such as `0-3,8`, has `cpu` in it.
fn has(list: &str, cpu: usize) -> bool {
    list.trim().split(',').any(|part| {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let bounds = first.parse::<usize>().ok().zip(last.parse::<usize>().ok());
        bounds.is_some_and(|(first, last)| (first..=last).contains(&cpu))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_of_the_kernel_are_read() {
        assert!(has("0-3\n", 2) && has("0-1,6", 6) && has("5", 5));
        assert!(!has("0-3", 4) && !has("", 0) && !has("x-y", 1));
    }
}
