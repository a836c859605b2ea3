//! `docs/c-api.md`, followed to the letter: its listings are written to files, its commands are
//! given to one shell, and what they print is compared, on both outputs, as a terminal shows it.
//! Each command ends with 0, but where the next one shows with which status it did. Who was started
//! beside the shell is gone at the end, by a signal of the page's or by itself with 0.

use std::path::Path;
use std::process::{Command, Stdio};

/// Between the output of two commands: number of the next one, and the status of the one before.
const MARK: &str = "=== command ";
/// In front of the status of a process that was started beside the shell.
const BESIDE: &str = "=== beside ";
/// Shows with which status the command before it ended.
const STATUS: &str = "echo $?";
/// Longer than a page takes on a machine that is busy with other things.
const SECONDS: &str = "300";
/// Stands for anything within a line, or for any lines where it is alone.
const ANYTHING: &str = "…";

/// A command with what it is said to print.
#[derive(Debug)]
struct Step {
    command: String,
    expected: Vec<String>,
}

/// The blocks of a page: language and lines.
fn blocks(page: &str) -> Vec<(&str, Vec<&str>)> {
    let mut found: Vec<(&str, Vec<&str>)> = Vec::new();
    let mut inside = false;
    for line in page.lines() {
        match line.strip_prefix("```") {
            Some(_) if inside => inside = false,
            Some(language) => {
                inside = true;
                found.push((language, Vec::new()));
            }
            None if inside => found.last_mut().unwrap().1.push(line),
            None => {}
        }
    }
    found
}

/// The file that a listing says it is, in its first line.
fn name_of<'a>(language: &str, first: &'a str) -> &'a str {
    let name = match language {
        "c" => first.strip_prefix("/* ").and_then(|it| it.strip_suffix(" */")),
        _ => first.strip_prefix("# "),
    };
    name.unwrap_or_else(|| panic!("a listing says which file it is: {first}"))
}

fn steps(lines: &[&str]) -> Vec<Step> {
    let mut found: Vec<Step> = Vec::new();
    for line in lines {
        match line.strip_prefix("$ ") {
            Some(command) => found.push(Step { command: command.to_owned(), expected: Vec::new() }),
            None => found.last_mut().unwrap().expected.push((*line).to_owned()),
        }
    }
    found
}

/// Whether a line is what was expected.
fn is_like(line: &str, expected: &str) -> bool {
    let mut parts = expected.split(ANYTHING);
    let Some(mut rest) = line.strip_prefix(parts.next().unwrap_or_default()) else { return false };
    let mut last = None;
    for part in parts {
        let Some(at) = rest.find(part) else { return false };
        rest = &rest[at + part.len()..];
        last = Some(part);
    }
    rest.is_empty() || last == Some("")
}

fn are_like(found: &[&str], expected: &[String]) -> bool {
    let whatever = expected.first().is_some_and(|it| it == ANYTHING);
    whatever
        || found.len() == expected.len() && {
            found.iter().zip(expected).all(|(line, expected)| is_like(line, expected))
        }
}

/// Follows a page in a folder. `installs` is the command that was carried out already.
pub(crate) fn follow(page: &str, folder: &Path, prefix: &Path, installs: &str) {
    let mut all = Vec::new();
    for (language, lines) in blocks(page) {
        if language == "console" {
            all.extend(steps(&lines));
        } else {
            let name = name_of(language, lines[0]);
            std::fs::write(folder.join(name), lines.join("\n") + "\n").unwrap();
        }
    }
    assert!(all.first().is_some_and(|step| step.command == installs), "{all:?}");
    all.remove(0);
    let said = run(&all, folder, prefix);
    let mut rest = said.as_str();
    for (index, step) in all.iter().enumerate() {
        let begin = format!("{MARK}{index} after ");
        let (_, after) = rest
            .split_once(&begin)
            .unwrap_or_else(|| panic!("`{}` was not run\n{said}", step.command));
        let (printed, ended) = after.split_once(MARK).unwrap_or((after, ""));
        let found: Vec<&str> = printed.lines().skip(1).map(str::trim_end).collect();
        // It is the shell that says this of a process that was killed, and not the command.
        let found: Vec<&str> = found.into_iter().filter(|line| !tells_of_a_kill(line)).collect();
        assert!(
            are_like(&found, &step.expected),
            "`{}` prints\n{printed}and not\n{}",
            step.command,
            step.expected.join("\n")
        );
        let (_, status) = ended.split_once(" after ").unwrap_or_default();
        let status = status.lines().next().unwrap_or_default();
        let is_shown = all.get(index + 1).is_some_and(|next| next.command == STATUS);
        assert!(status == "0" || is_shown, "`{}` ends with {status:?}\n{said}", step.command);
        rest = after;
    }
    let ends: Vec<&str> = said.lines().filter_map(|it| it.strip_prefix(BESIDE)).collect();
    assert_eq!(ends.len(), beside(&all).len(), "{said}");
    for end in ends {
        let (name, status) = end.split_once(' ').unwrap();
        // 128 and the number of the signal, SIGKILL or SIGTERM.
        let wanted: &[&str] = if name == "daemon" { &["0"] } else { &["0", "137", "143"] };
        assert!(wanted.contains(&status), "{name} ends with {status}\n{said}");
    }
    println!("{} commands", all.len());
}

/// Gives the commands to one shell; all that is said on either output, with marks in between.
fn run(all: &[Step], folder: &Path, prefix: &Path) -> String {
    let mut script = String::from("exec 2>&1\ntrue\n");
    for (index, step) in all.iter().enumerate() {
        // A function keeps `$?` as the command before it left it.
        script.push_str(&format!("mark {index}\n{}\n", step.command));
    }
    script.push_str(&format!("mark {}\n", all.len()));
    let mark = format!("mark() {{ local it=$?; echo \"{MARK}$1 after $it\"; return $it; }}\n");
    for name in beside(all) {
        script.push_str(&format!("wait ${name}; echo \"{BESIDE}{name} $?\"\n"));
    }
    let file = folder.join("page.sh");
    std::fs::write(&file, mark + &script).unwrap();
    // What hangs is ended, and all that it started with it.
    let mut shell = Command::new("timeout");
    shell.args(["--kill-after=5", SECONDS, "bash"]).arg(&file).current_dir(folder);
    shell.env("PREFIX", prefix).env("PYTHONDONTWRITEBYTECODE", "1").stdin(Stdio::null());
    let output = shell.output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.code() != Some(124), "the page does not come to its end\n{said}");
    said
}

/// The names of those that are started beside the shell, as in `./program & name=$!`.
fn beside(all: &[Step]) -> Vec<&str> {
    let commands = all.iter().map(|step| step.command.as_str());
    let starts = commands.filter(|command| command.contains(" & "));
    starts
        .map(|command| {
            let name = command.strip_suffix("=$!").and_then(|it| it.rsplit_once(" & "));
            name.unwrap_or_else(|| panic!("`{command}` keeps no name for what it starts")).1
        })
        .collect()
}

/// As in `page.sh: line 20: 4711 Killed   ./tank`.
fn tells_of_a_kill(line: &str) -> bool {
    let Some((_, rest)) = line.split_once("page.sh: line ") else { return false };
    let mut words = rest.split_whitespace().skip(1);
    words.next().is_some_and(|pid| pid.bytes().all(|octet| octet.is_ascii_digit()))
        && words.next().is_some_and(|word| word == "Killed" || word == "Terminated")
}

#[test]
fn a_line_is_compared_but_for_what_differs() {
    assert!(is_like("took over in cycle 7 with 6 batches", "took over in cycle … with … batches"));
    assert!(is_like("-L/x/lib -lbumpless", "-L… -lbumpless"));
    assert!(is_like("it is a pointer, and more", "it is a pointer, …"));
    assert!(!is_like("it is no pointer", "it is a pointer, …"));
    assert!(!is_like("fine and more", "fine"));
    assert!(are_like(&["a", "b"], &["…".to_owned()]));
    assert!(!are_like(&["a", "b"], &["a".to_owned()]));
}

#[test]
fn what_the_shell_says_of_a_kill_is_told_from_what_a_command_says() {
    assert!(tells_of_a_kill(
        "/x/page.sh: line 20: 4711 Killed                  ./tank > first.txt"
    ));
    assert!(!tells_of_a_kill("/x/page.sh: line 20: ./tank: No such file or directory"));
    assert!(!tells_of_a_kill("Killed"));
}

#[test]
fn a_command_that_fails_or_says_too_much_is_caught() {
    let caught = |commands: &str| {
        let folder = std::env::temp_dir().join(format!("bumpless-page-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let page = format!("```console\n$ first\n{commands}\n```\n");
        let follows = || follow(&page, &folder, Path::new("/nonexistent"), "first");
        let result = std::panic::catch_unwind(follows);
        let _ = std::fs::remove_dir_all(&folder);
        result.is_err()
    };
    assert!(!caught("$ echo a; echo b >&2\na\nb\n$ true & one=$!"));
    assert!(!caught("$ false\n$ echo $?\n1"));
    assert!(caught("$ false"));
    assert!(caught("$ false\n$ true"));
    assert!(caught("$ true\n$ echo $?\n1"));
    assert!(caught("$ echo why >&2"));
    assert!(caught("$ false & one=$!\n$ true"));
}
