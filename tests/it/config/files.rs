//! Files that a configuration names are regular ones: nothing else is waited for, or read without end.

use std::path::Path;
use std::process::Command;
use std::sync::mpsc;
use std::time::Duration;

use retainit::{Builder, Retainit};

use super::Folder;

/// Returns the error of a build, which has to come without waiting for anybody.
fn error(builder: Builder) -> String {
    let (told, tell) = mpsc::channel();
    std::thread::spawn(move || told.send(builder.build().expect_err("it cannot be used").report()));
    tell.recv_timeout(Duration::from_secs(20)).expect("it has to come within 20 s")
}

fn pipe(path: &Path) {
    assert!(Command::new("mkfifo").arg(path).status().expect("mkfifo is everywhere").success());
}

/// A thing under a name, made in the folder.
type Made = fn(&Path);

/// Files that are not regular, with the words for them in errors.
const IRREGULAR: [(&str, Made); 4] = [
    ("a pipe", pipe),
    ("a folder", |path| std::fs::create_dir(path).expect("a folder")),
    ("a device", |path| std::os::unix::fs::symlink("/dev/zero", path).expect("a link")),
    ("a socket", |path| drop(std::os::unix::net::UnixListener::bind(path).expect("a socket"))),
];

#[test]
fn a_main_file_or_profile_that_is_no_file_is_an_error_at_once() {
    for (what, make) in IRREGULAR {
        for name in ["retainit.toml", "main.yaml", "main.json", "main.env"] {
            let folder = Folder::empty();
            make(&folder.path(name));
            let path = folder.path(name);
            let said = format!("{}: cannot be read: it is {what} and no regular file", path.display());
            assert_eq!(error(Retainit::builder().config_file(&path).variables([("", ""); 0])), said);
        }
        let folder = Folder::new("");
        folder.write("profiles/other.toml", "");
        make(&folder.path("profiles/p.toml"));
        let error = error(folder.builder().profile("p"));
        assert!(error.contains("p.toml: cannot be read") && error.contains(what), "{error}");
    }
}

#[test]
fn a_secret_is_never_waited_for() {
    for (what, make) in IRREGULAR {
        let folder = Folder::new("[retainit]\nsecret = \"file:hush\"\n");
        make(&folder.path("hush"));
        let said = format!("retainit.toml:2: secret: the file hush cannot be read: it is {what} and no regular file");
        assert!(error(folder.builder()).ends_with(&said));
        let variable = folder.builder().variables([("RETAINIT_SECRET", "file:hush")]);
        folder.write("retainit.toml", "");
        assert!(error(variable).contains(what));
    }
    // A link to a file is what Kubernetes mounts.
    let folder = Folder::new("[retainit]\nsecret = \"file:hush\"\n");
    folder.write("data", "a secret\n");
    std::os::unix::fs::symlink(folder.path("data"), folder.path("hush")).expect("a link");
    folder.builder().build().expect("a regular file");
}

#[test]
fn files_are_bounded() {
    let folder = Folder::new("[retainit]\nsecret = \"file:hush\"\n");
    let endless = |name: &str| {
        let file = std::fs::File::create(folder.path(name)).expect("a file");
        file.set_len(1 << 40).expect("a file with a hole");
    };
    endless("hush");
    let text = error(folder.builder());
    assert!(text.ends_with("the file hush cannot be read: it has more than 1048576 bytes"), "{text}");
    endless("retainit.toml");
    let text = error(folder.builder());
    assert!(text.ends_with("retainit.toml: cannot be read: it has more than 16777216 bytes"), "{text}");
}

#[test]
fn a_log_is_not_written_to_what_nobody_reads() {
    for section in ["logging]\nformat = \"json\"", "audit]"] {
        for (what, make) in IRREGULAR {
            let folder = Folder::empty();
            make(&folder.path("log"));
            folder.write("retainit.toml", &format!("[retainit.{section}\npath = {:?}\n", folder.path("log")));
            let error = error(folder.builder());
            assert!(error.contains("log cannot be written") && error.contains(what), "{error}");
        }
    }
}

#[test]
fn a_pipe_in_place_of_a_folder_keeps_nobody() {
    let folder = Folder::empty();
    pipe(&folder.path("cache"));
    let text = format!("[retainit.backends.disk]\ntype = \"disk\"\nbase_path = {:?}\n", folder.path("cache"));
    folder.write("retainit.toml", &text);
    let (told, tell) = mpsc::channel();
    std::thread::spawn(move || {
        // Whether this is an error already is not the question here.
        let Ok(instance) = folder.builder().build() else { return told.send(14) };
        let cache = instance.cache::<u64>("doubles").backend("disk").build().expect("a cache");
        told.send(cache.blocking().get_or_load(&7, || 14))
    });
    assert_eq!(tell.recv_timeout(Duration::from_secs(20)).expect("it has to come within 20 s"), 14);
}
