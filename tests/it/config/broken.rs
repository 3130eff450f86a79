//! Broken configurations, each with the exact text of its error: `broken.txt`. Every case is a title, files, variables,
//! a profile, and the error; `BLESS=1` writes the errors into the file, for a reader to look at.

use std::fs;
use std::path::Path;

use retainit::{ErrorKind, Retainit};
use tempfile::TempDir;

#[derive(Default)]
struct Case {
    title: String,
    files: Vec<(String, String)>,
    variables: Vec<(String, String)>,
    profile: Option<String>,
    says: String,
}

fn read(text: &str) -> Vec<Case> {
    let (mut cases, mut part) = (Vec::<Case>::new(), String::new());
    for line in text.lines() {
        if let Some(title) = line.strip_prefix("=== ") {
            cases.push(Case { title: title.to_owned(), ..Case::default() });
            continue;
        }
        let case = cases.last_mut().expect("a title comes first");
        if let Some(name) = line.strip_prefix("--- ") {
            part = name.to_owned();
            if let Some(name) = part.strip_prefix("file: ") {
                case.files.push((name.to_owned(), String::new()));
            } else if let Some(name) = part.strip_prefix("profile: ") {
                case.profile = Some(name.to_owned());
            }
        } else if part == "env" {
            let (name, value) = line.split_once('=').expect("NAME=value");
            case.variables.push((name.to_owned(), value.to_owned()));
        } else if part == "says" {
            case.says.push_str(&format!("{line}\n"));
        } else {
            case.files.last_mut().expect("a file comes first").1.push_str(&format!("{line}\n"));
        }
    }
    cases
}

impl Case {
    /// Returns the error's text, with the folder's path taken out.
    fn run(&self) -> String {
        let folder = TempDir::new().expect("a folder");
        for (name, text) in &self.files {
            let path = folder.path().join(name);
            fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
            fs::write(path, text).expect("a file");
        }
        let main = self.files.first().map_or("retainit.toml", |(name, _)| name);
        let mut builder = Retainit::builder().config_file(folder.path().join(main)).variables(self.variables.clone());
        if let Some(profile) = &self.profile {
            builder = builder.profile(profile);
        }
        let error = builder.build().expect_err(&self.title);
        assert_eq!(error.kind(), ErrorKind::Config, "{}: {error}", self.title);
        let text = error.to_string();
        assert!(!text.contains("hush") && !format!("{error:?}").contains("hush"), "{}: {text}", self.title);
        let prefix = format!("{}/", folder.path().display());
        format!("{}\n", text.replace(&prefix, ""))
    }

    fn write(&self, says: &str) -> String {
        let mut text = format!("=== {}\n", self.title);
        self.files.iter().for_each(|(name, content)| text.push_str(&format!("--- file: {name}\n{content}")));
        if !self.variables.is_empty() {
            text.push_str("--- env\n");
            self.variables.iter().for_each(|(name, value)| text.push_str(&format!("{name}={value}\n")));
        }
        self.profile.iter().for_each(|profile| text.push_str(&format!("--- profile: {profile}\n")));
        format!("{text}--- says\n{says}")
    }
}

// T-58, D-03
#[test]
fn every_broken_configuration_is_reported_with_place_key_and_remedy() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/config/broken.txt");
    let text = fs::read_to_string(&path).expect("the cases");
    let cases = read(&text);
    assert!(cases.len() >= 60, "{} cases", cases.len());
    let said: Vec<String> = cases.iter().map(Case::run).collect();
    if std::env::var_os("BLESS").is_some() {
        let blessed: String = cases.iter().zip(&said).map(|(case, says)| case.write(says)).collect();
        fs::write(&path, blessed).expect("the cases are written");
        return;
    }
    let wrong: Vec<_> = cases.iter().zip(&said).filter(|(case, says)| case.says.trim() != says.trim()).collect();
    let told: String = wrong.iter().map(|(case, says)| format!("{}\n{says}\n", case.title)).collect();
    assert!(wrong.is_empty(), "{} say something else:\n{told}", wrong.len());
}
