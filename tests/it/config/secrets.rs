//! Tests that secrets are shown nowhere.

use retainit::Retainit;

use super::Folder;

const SECRET: &str = "hush-hush-do-not-tell";

fn shown(retainit: &Retainit) -> String {
    let effective = retainit.effective();
    format!("{effective} {effective:?} {retainit:?}")
}

#[test]
fn a_secret_may_lie_in_the_file_in_a_variable_or_in_another_file() {
    let folder = Folder::new("");
    folder.write("secret", &format!("{SECRET}\n"));
    for written in [SECRET, "env:SHOP_SECRET", "file:secret"] {
        folder.write(
            "retainit.toml",
            &format!("[retainit]\nsecret = \"{written}\"\n[retainit.backends.disk]\ntype = \"disk\"\n"),
        );
        let builder = Retainit::builder().config_file(folder.path("retainit.toml"));
        let retainit = builder.variables([("SHOP_SECRET", SECRET)]).build().expect("the secret is found");
        assert_eq!(retainit.effective().get("secret").map(|secret| secret.value().to_owned()).as_deref(), Some("***"));
        assert!(!shown(&retainit).contains(SECRET));
        // Without a secret, a backend that keeps bytes refuses hashed keys.
        retainit.cache::<u8>("people").hash_key().build().expect("there is a secret");
    }
}

#[test]
fn an_empty_secret_is_none() {
    let folder = Folder::new("");
    folder.write("secret", "\n");
    for (written, why) in [
        ("", "expected a text that is not empty"),
        ("env:SHOP_SECRET", "the environment variable SHOP_SECRET is empty"),
        ("file:secret", "the file secret is empty"),
    ] {
        folder.write("retainit.toml", &format!("[retainit]\nsecret = \"{written}\"\n"));
        let builder = Retainit::builder().config_file(folder.path("retainit.toml"));
        let error = builder.variables([("SHOP_SECRET", "")]).build().expect_err(why).to_string();
        assert!(error.contains("retainit.toml:2: secret: ") && error.contains(why), "{error}");
    }
    let error = Retainit::builder().secret("").build().expect_err("it is empty").to_string();
    assert!(error.contains("code: secret: it is empty"), "{error}");
}

#[test]
fn without_a_secret_hashed_keys_stay_in_memory() {
    let folder = Folder::new("[retainit.backends.disk]\ntype = \"disk\"\n");
    let retainit = folder.builder().build().expect("nothing is wrong");
    let error = retainit.cache::<u8>("people").hash_key().build().expect_err("no secret").to_string();
    assert!(error.contains("set `secret`"), "{error}");
}

#[test]
fn fields_of_a_type_that_is_not_linked_are_all_secret() {
    let folder = Folder::new(&format!(
        r#"
        [retainit]
        default_backend = "near"
        [retainit.backends.near]
        type = "memory"
        [retainit.backends.far]
        type = "redis"
        url = "redis://:{SECRET}@host"
        "#
    ));
    let retainit = folder.builder().build().expect("nothing uses it");
    assert!(!shown(&retainit).contains(SECRET), "{}", shown(&retainit));
    let error = retainit.cache::<u8>("users").backend("far").build().expect_err("it is not linked").to_string();
    assert!(error.contains("feature `redis`") && !error.contains(SECRET), "{error}");
}
