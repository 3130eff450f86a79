//! Runs what the README and the guides show, as it is written: every program twice in a folder of its own, alone and
//! beside each of its files, and every command with what it prints. A comment above a block says what it is:
//! `blocks.rs` has the forms.

mod blocks;
mod programs;

use std::collections::BTreeMap;
use std::fs;
use std::io::Write as _;
use std::path::Path;

use blocks::{Block, Role, blocks};
use programs::{Program, Run, folder_with};
use tempfile::TempDir;

/// The program of a file that belongs to none: all that it sets can be used.
const CHECK: &str = r#"
fn main() -> Result<(), Box<dyn std::error::Error>> {
    let retainit = retainit::init()?;
    let health = retainit.blocking().health()?;
    assert!(health.is_healthy() && health.notes.is_empty(), "{health}");
    Ok(())
}
"#;

const CHECK_NAME: &str = "check";

/// Pages that a script of this name produces, and compares with what comes out.
const PRODUCED: &str = "<!-- produced by ";

/// A document while it is run.
struct Document {
    name: String,
    compiled: TempDir,
    programs: BTreeMap<String, Program>,
    /// Files so far, by their paths.
    files: BTreeMap<String, String>,
    runs: usize,
    problems: Vec<String>,
}

impl Document {
    fn new(name: &str) -> Document {
        Document {
            name: name.to_owned(),
            compiled: TempDir::new().expect("a folder"),
            programs: BTreeMap::new(),
            files: BTreeMap::new(),
            runs: 0,
            problems: Vec::new(),
        }
    }

    fn run(&mut self, block: &Block) -> Result<(), String> {
        match &block.role {
            Role::Program { name, file } => {
                let name = name.clone().unwrap_or_else(|| format!("line_{}", block.line));
                self.program(block, name, file.as_deref(), false)
            }
            Role::Tests => self.program(block, format!("line_{}", block.line), None, true),
            Role::File { path, programs } => self.file(block, path, programs),
            Role::Console { program, file } => self.console(block, program, file.as_deref()),
            Role::Shown(reason) => {
                // Not `eprintln!`, which the harness would swallow: what is skipped has to be seen.
                writeln!(std::io::stderr(), "skipped: {}:{}: {reason}", self.name, block.line).expect("stderr is open");
                Ok(())
            }
            Role::Unknown => Err("no comment above the block says what it is".to_owned()),
        }
    }

    fn program(&mut self, block: &Block, name: String, file: Option<&str>, is_test: bool) -> Result<(), String> {
        if block.language != "rust" {
            return Err(format!("a program is `rust`, not `{}`", block.language));
        }
        if block.text.lines().any(|line| line == "#" || line.starts_with("# ")) {
            return Err("a line that rustdoc would hide: whoever copies the program gets it as it is".to_owned());
        }
        let program = Program::compile(&name, &block.text, self.compiled.path(), is_test)?;
        self.programs.insert(name.clone(), program);
        self.twice(&name, &[])?;
        match file {
            Some(path) => self.twice(&name, &[(path, &self.file_above(path)?)]),
            None => Ok(()),
        }
    }

    /// Returns the last file of this path so far.
    fn file_above(&self, path: &str) -> Result<String, String> {
        self.files.get(path).cloned().ok_or_else(|| format!("there is no file `{path}` above"))
    }

    fn file(&mut self, block: &Block, path: &str, programs: &[String]) -> Result<(), String> {
        self.files.insert(path.to_owned(), block.text.clone());
        if programs.is_empty() {
            let check = Program::compile(CHECK_NAME, CHECK, self.compiled.path(), false)?;
            self.programs.insert(CHECK_NAME.to_owned(), check);
            return self.twice(CHECK_NAME, &[(path, &block.text)]);
        }
        programs.iter().try_for_each(|program| self.twice(program, &[(path, &block.text)]))
    }

    /// Runs a program twice in a new folder. It has to succeed, and retainit has to be content with what it finds.
    fn twice(&mut self, program: &str, files: &[(&str, &str)]) -> Result<(), String> {
        let folder = folder_with(files);
        for time in ["first", "second"] {
            let program_of_block = self.named(program)?;
            let run = program_of_block.run(folder.path(), &[]);
            let complains = run.stderr.lines().any(|line| line.starts_with("retainit: "));
            let is_wrong = !run.succeeded || complains && !program_of_block.is_test;
            self.runs += 1;
            if is_wrong {
                return Err(format!("the {time} run of `{program}`:\n{}{}", run.stdout, run.stderr));
            }
        }
        Ok(())
    }

    fn named(&self, program: &str) -> Result<&Program, String> {
        self.programs.get(program).ok_or_else(|| format!("there is no program `{program}` above"))
    }

    /// Runs commands in a new folder, each once and in their order, and compares what they print.
    fn console(&mut self, block: &Block, program: &str, file: Option<&str>) -> Result<(), String> {
        let folder = match file {
            Some(path) => folder_with(&[(path, &self.file_above(path)?)]),
            None => folder_with(&[]),
        };
        let mut printed = String::new();
        let commands = block.text.lines().filter_map(|line| line.strip_prefix("$ "));
        for command in commands {
            let words: Vec<&str> = command.split(' ').collect();
            let (variables, rest): (Vec<_>, Vec<_>) = words.iter().partition(|word| word.contains('='));
            let ["cargo", "run", "-q"] = rest.as_slice() else {
                return Err(format!("`{command}`: commands are `cargo run -q`, behind variables"));
            };
            let variables: Vec<_> = variables.iter().filter_map(|variable| variable.split_once('=')).collect();
            let Run { stdout, stderr, .. } = self.named(program)?.run(folder.path(), &variables);
            self.runs += 1;
            printed.push_str(&format!("$ {command}\n{stdout}{stderr}"));
        }
        if printed == block.text { Ok(()) } else { Err(format!("it prints\n{printed}instead of\n{}", block.text)) }
    }
}

fn read(path: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).expect("the document is there")
}

fn documents() -> Vec<String> {
    let docs = fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs")).expect("there are documents");
    let names = docs.map(|entry| entry.expect("the folder can be read").file_name().to_string_lossy().into_owned());
    let mut all: Vec<_> = names.filter(|name| name.ends_with(".md")).map(|name| format!("docs/{name}")).collect();
    all.push("README.md".to_owned());
    all.sort();
    all
}

// T-144
#[test]
fn every_block_of_the_readme_and_the_guides_holds_twice_in_a_folder_of_its_own() {
    let (mut problems, mut runs) = (Vec::new(), 0);
    for name in documents() {
        let text = read(&name);
        if text.lines().any(|line| line.starts_with(PRODUCED)) {
            continue;
        }
        let mut document = Document::new(&name);
        for block in blocks(&text) {
            if let Err(problem) = document.run(&block) {
                document.problems.push(format!("{name}:{}: {problem}", block.line));
            }
        }
        runs += document.runs;
        problems.append(&mut document.problems);
    }
    assert!(problems.is_empty(), "\n{}\n", problems.join("\n"));
    assert!(runs > 20, "only {runs} runs: are the blocks found?");
}

/// The README's table of features has each, and whether it is on by default.
#[test]
fn the_readme_lists_every_feature() {
    let (manifest, readme) = (read("Cargo.toml"), read("README.md"));
    let features = manifest.split_once("\n[features]\n").expect("there are features").1;
    let features = features.split("\n[").next().unwrap_or_default().lines().filter_map(|line| line.split_once(" = "));
    let (default, others): (Vec<_>, Vec<_>) = features.partition(|(name, _)| *name == "default");
    let [(_, default)] = default.as_slice() else { panic!("{default:?}") };
    assert!(others.len() > 5, "{others:?}");
    for (name, _) in others {
        let is_default = if default.contains(&format!("\"{name}\"")) { "on" } else { "off" };
        assert!(
            readme.contains(&format!("| `{name}` | {is_default} |")),
            "README.md has no row `{name}`, `{is_default}`"
        );
    }
}

// P-44
#[test]
fn the_first_program_of_the_readme_is_short() {
    let text = read("README.md");
    let first = blocks(&text).into_iter().find(|block| block.language == "rust").expect("there is a program");
    assert_eq!(first.role, Role::Program { name: Some("demo".to_owned()), file: None });
    assert!(first.text.lines().count() < 20, "{}", first.text);
    assert!(!first.text.contains("::init"), "nothing has to be initialised");
}
