//! What must not be lost: whatever ends a run, and whenever, what was measured is on disk or on the screen, and the
//! exit code says how it ended. The table of docs/RUNNING.md ("What cannot be lost") is made of these cases.

use std::{
    fs,
    os::unix::process::ExitStatusExt,
    path::Path,
    process::{Command, Stdio},
    sync::mpsc::sync_channel,
    time::Duration,
};

use measure::record::{Record, Verdict};
use nix::sys::signal::Signal;

use crate::support::{Finished, Response, Server, WorkloadText, Workplace, closed, page, pause, repository};

/// One way in which a run is disturbed, and what must come of it.
struct Case {
    what: &'static str,
    when: &'static str,
    /// As the table says it.
    code: &'static str,
    kept: &'static str,
    holds: fn(&Workplace),
}

const CASES: &[Case] = &[
    Case {
        what: "SIGINT, SIGTERM or a closed terminal",
        when: "setup requests",
        code: "130",
        kept: "nothing was measured yet",
        holds: stopped_in_setup,
    },
    Case {
        what: "the same",
        when: "warm-up and measured phase",
        code: "130",
        kept: "what was measured so far, drawn",
        holds: stopped_in_the_measured_phase,
    },
    Case {
        what: "the same",
        when: "drain",
        code: "130",
        kept: "everything, drawn; what is in flight is censored",
        holds: stopped_in_the_drain,
    },
    Case {
        what: "the same",
        when: "files are written",
        code: "130, or that of the verdict where all were written",
        kept: "the verdict on the screen and all files; after a second signal `record.json`",
        holds: stopped_while_files_are_written,
    },
    Case {
        what: "SIGKILL",
        when: "any",
        code: "137",
        kept: "`record.json` of the rounds that were over, not judged",
        holds: killed,
    },
    Case {
        what: "a directory that cannot be written to, or has no room",
        when: "before the load",
        code: "2",
        kept: "nothing was measured yet",
        holds: no_place_before_the_load,
    },
    Case {
        what: "one of the files cannot be written",
        when: "at the end",
        code: "that of the verdict, 1 instead of 0",
        kept: "the verdict on the screen, all other files, and all files elsewhere (named)",
        holds: a_file_that_cannot_be_written,
    },
    Case {
        what: "the whole directory is gone",
        when: "at the end",
        code: "that of the verdict, 1 instead of 0",
        kept: "the verdict on the screen, and all files elsewhere (named)",
        holds: the_directory_is_gone,
    },
    Case {
        what: "standard output or error is closed or full",
        when: "any",
        code: "that of the verdict",
        kept: "all files",
        holds: nobody_listens,
    },
];

/// A workload with one user without pauses to speak of.
fn workload(measure_s: f64, blocks: u32, rest: &str) -> String {
    let text = WorkloadText {
        measure_s,
        drain_s: 3_600.0,
        blocks,
        model: &closed(1),
        rest,
        ..WorkloadText::default()
    };
    text.to_string()
}

fn quick() -> String {
    workload(0.5, 1, &page(1))
}

fn answers() -> Server {
    Server::start(|_| Response::ok("ok"))
}

/// Requests that are never answered, and given up after an hour: whoever waits for one fails the test.
const PATIENT: &str = "[endpoints.page]\npath = \"/\"\ntimeout_ms = 3600000\n[journeys.look]\nsteps = [{ endpoint = \
                       \"page\" }]\n";

fn stopped_in_setup(place: &Workplace) {
    for signal in [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP] {
        let (entered, waits) = sync_channel(10);
        let server = Server::start(move |_| {
            let _ = entered.try_send(());
            pause(Duration::from_hours(1));
            Response::ok("late")
        });
        let setup = format!("[setup.login]\npath = \"/login\"\ntimeout_ms = 3600000\n{PATIENT}");
        let run = place.loadtest(&place.run_arguments(&workload(0.5, 1, &setup), server.address, &[]));
        waits.recv().unwrap();
        run.signal(signal);
        run.finish().assert_code(130);
    }
}

fn stopped_in_the_measured_phase(place: &Workplace) {
    for signal in [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP] {
        let server = answers();
        let mut run = place.loadtest(&place.run_arguments(&workload(3_600.0, 1, &page(1)), server.address, &[]));
        // Not the announcement, which says how long is measured.
        run.wait_for(&format!("{} measure", server.address));
        run.signal(signal);
        run.finish().assert_code(130);
        let record = place.record();
        assert_eq!((record.verdict, record.rounds.len()), (Verdict::Interrupted, 1));
        assert!(place.out().join("report.html").is_file());
    }
}

fn stopped_in_the_drain(place: &Workplace) {
    let server = Server::start(|_| {
        pause(Duration::from_hours(1));
        Response::ok("late")
    });
    let mut run = place.loadtest(&place.run_arguments(&workload(0.2, 1, PATIENT), server.address, &[]));
    run.wait_for(" drain");
    run.signal(Signal::SIGINT);
    run.finish().assert_code(130);
    let record = place.record();
    let counts = &record.rounds[0].phases;
    let censored: u64 = counts
        .iter()
        .map(|phase| phase.endpoints["page"].failures.unanswered)
        .sum();
    assert_eq!((record.verdict, censored), (Verdict::Interrupted, 1));
}

/// The verdict is printed before the first file is written. A second signal gives up a disk that hangs.
fn stopped_while_files_are_written(place: &Workplace) {
    for (signals, files) in [
        (1, &["report.html", "summary.md", "junit.xml", "times.hlog"][..]),
        (2, &[]),
    ] {
        let server = answers();
        let mut run = place.loadtest(&place.run_arguments(&quick(), server.address, &[]));
        run.wait_for("(exit code");
        for _ in 0..signals {
            run.signal(Signal::SIGINT);
        }
        let finished = run.finish();
        let record = place.record();
        assert_eq!(record.rounds.len(), 1);
        let code = finished.status.code().unwrap();
        assert!([130, i32::from(record.exit_code)].contains(&code), "{}", finished.text);
        for name in files {
            assert!(place.out().join(name).is_file(), "{name}");
        }
        fs::remove_dir_all(place.out()).unwrap();
    }
}

fn killed(place: &Workplace) {
    let server = answers();
    let mut run = place.loadtest(&place.run_arguments(&workload(1.0, 3, &page(1)), server.address, &[]));
    run.wait_for("block 2/3");
    run.signal(Signal::SIGKILL);
    let finished = run.finish();
    assert_eq!(finished.status.signal(), Some(Signal::SIGKILL as i32));
    let record = place.record();
    assert_eq!((record.rounds.len(), record.verdict), (1, Verdict::Invalid));
    assert!(
        record.verdict_reason.contains("nobody has judged it"),
        "{}",
        record.verdict_reason
    );
}

fn no_place_before_the_load(place: &Workplace) {
    let server = Server::start(|_| panic!("no load"));
    let file = place.write("a-file", "");
    let full = Path::new("/proc/self");
    for out in [file.as_path(), full] {
        let mut arguments = place.run_arguments(&quick(), server.address, &[]);
        let at = arguments.iter().position(|argument| argument == "--out").unwrap();
        out.to_str().unwrap().clone_into(&mut arguments[at + 1]);
        let finished = place.loadtest(&arguments).finish();
        finished.assert_code(2);
        finished.assert_says(out.to_str().unwrap());
    }
}

/// The verdict is on the screen, what went wrong too, and everything elsewhere is whole.
fn assert_kept_elsewhere(place: &Workplace, finished: &Finished) -> Record {
    finished.assert_says("(exit code");
    finished.assert_says("error: ");
    let kept = fs::read_dir(place.tmp()).unwrap().map(|entry| entry.unwrap().path());
    let kept: Vec<_> = kept.filter(|path| path.join("record.json").is_file()).collect();
    assert_eq!(kept.len(), 1, "{}", finished.text);
    finished.assert_says(&format!("everything was written to {} instead", kept[0].display()));
    for name in ["report.html", "summary.md", "junit.xml", "times.hlog"] {
        assert!(kept[0].join(name).is_file(), "{name}");
    }
    let record = Record::load(&kept[0].join("record.json")).unwrap();
    fs::remove_dir_all(&kept[0]).unwrap();
    record
}

/// The code of a verdict, where a file is missing.
fn code_of(record: &Record) -> i32 {
    match record.exit_code {
        0 => 1,
        code => i32::from(code),
    }
}

fn a_file_that_cannot_be_written(place: &Workplace) {
    const FILES: [&str; 5] = ["record.json", "report.html", "summary.md", "junit.xml", "times.hlog"];
    for name in FILES {
        let server = answers();
        // Nothing can be renamed over a directory.
        fs::create_dir_all(place.out().join(name)).unwrap();
        let finished = place
            .loadtest(&place.run_arguments(&quick(), server.address, &[]))
            .finish();
        let record = assert_kept_elsewhere(place, &finished);
        finished.assert_code(code_of(&record));
        for other in FILES.into_iter().filter(|other| *other != name) {
            assert!(place.out().join(other).is_file(), "{other}, without {name}");
        }
        fs::remove_dir_all(place.out()).unwrap();
    }
}

fn the_directory_is_gone(place: &Workplace) {
    let server = answers();
    let mut run = place.loadtest(&place.run_arguments(&workload(2.0, 1, &page(1)), server.address, &[]));
    run.wait_for(&format!("{} measure", server.address));
    fs::remove_dir_all(place.out()).unwrap();
    let finished = run.finish();
    let record = assert_kept_elsewhere(place, &finished);
    finished.assert_code(code_of(&record));
}

fn nobody_listens(place: &Workplace) {
    let listening = |stdout: Stdio, stderr: Stdio| {
        let server = answers();
        let mut run = Command::new(env!("CARGO_BIN_EXE_loadtest"))
            .args(place.run_arguments(&quick(), server.address, &[]))
            .env("TMPDIR", place.tmp())
            .stdin(Stdio::null())
            .stdout(stdout)
            .stderr(stderr)
            .spawn()
            .unwrap();
        // Nobody reads what it says.
        drop((run.stdout.take(), run.stderr.take()));
        let status = run.wait().unwrap();
        let record = place.record();
        assert_eq!(status.code(), Some(record.exit_code.into()));
        assert!(place.out().join("report.html").is_file());
        fs::remove_dir_all(place.out()).unwrap();
    };
    let full = || Stdio::from(fs::OpenOptions::new().write(true).open("/dev/full").unwrap());
    listening(Stdio::piped(), Stdio::piped());
    listening(full(), full());
}

#[test]
fn nothing_measured_is_lost() {
    for case in CASES {
        let place = Workplace::new();
        println!("{}, {}", case.what, case.when);
        (case.holds)(&place);
    }
}

#[test]
fn the_table_of_the_documentation_is_that_of_the_cases() {
    const BEGINS: &str = "| what happens | when | exit code | what is kept |\n|---|---|---|---|\n";
    let row = |case: &Case| format!("| {} | {} | {} | {} |\n", case.what, case.when, case.code, case.kept);
    let table: String = std::iter::once(BEGINS.to_owned())
        .chain(CASES.iter().map(row))
        .collect();
    let file = repository("docs/RUNNING.md");
    let page = fs::read_to_string(&file).unwrap();
    let (before, rest) = page.split_once(BEGINS).expect("the table");
    let (_, after) = rest.split_once("\n\n").expect("text behind the table");
    let expected = format!("{before}{table}\n{after}");
    if std::env::var_os("UPDATE_DOCS").is_some() {
        fs::write(&file, &expected).unwrap();
    }
    assert!(
        page == expected,
        "write the table anew: UPDATE_DOCS=1 cargo test --workspace --test e2e lost"
    );
}

/// Numbers that would end in a panic or in nothing but memory are refused before anything starts.
#[test]
fn what_no_generator_can_do_is_refused_before_the_load() {
    let (place, server) = (Workplace::new_beside(), Server::start(|_| panic!("no load")));
    for (argument, why) in [
        ("--measure-s=1e300", "at most 86400"),
        ("--rate=1e12", "at most 1000000"),
        ("--users=4000000000", "1..=1000000"),
    ] {
        let finished = place
            .loadtest(&place.run_arguments(&quick(), server.address, &[argument]))
            .finish();
        finished.assert_code(2);
        finished.assert_says(why);
    }
}

/// Open files are the generator's limit: raised where that is allowed, and named as its own before any load.
#[test]
fn too_few_open_files_are_raised_or_refused_before_the_load() {
    let place = Workplace::new();
    let limited = |limit: &str, users: &str, server: &Server| {
        let arguments = place.run_arguments(&quick(), server.address, &["--users", users]);
        let mut command = Command::new("/bin/sh");
        command
            .args([
                "-c",
                &format!("ulimit {limit} && exec \"$0\" \"$@\""),
                env!("CARGO_BIN_EXE_loadtest"),
            ])
            .args(arguments)
            .env("TMPDIR", place.tmp());
        command.output().unwrap()
    };
    let server = answers();
    let refused = limited("-n 40", "4", &server);
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert_eq!(refused.status.code(), Some(2), "{said}");
    assert!(said.contains("the generator may open 40 files"), "{said}");

    let raised = limited("-Sn 100", "200", &server);
    let record = place.record();
    assert_eq!(raised.status.code(), Some(record.exit_code.into()));
    let counts = &record.rounds[0].phases[1].endpoints["page"];
    assert_eq!((counts.errors, counts.failures.generator), (0, 0));
    assert!(counts.count > 200, "{counts:?}");
}
