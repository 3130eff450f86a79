use std::fs;
use std::path::{Path, PathBuf};

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
};

/// A certificate authority made for one test, and what it has signed: a certificate of `127.0.0.1` and `localhost` and
/// one of a client, as files in a folder of their own.
#[derive(Debug)]
pub struct Certificates {
    folder: tempfile::TempDir,
}

impl Certificates {
    /// Makes an authority that nobody else knows.
    ///
    /// # Panics
    ///
    /// If the files cannot be written.
    pub fn new() -> Certificates {
        let folder = tempfile::tempdir().expect("a folder");
        let key = KeyPair::generate().expect("keys can be made");
        let mut params = params(&[], "authority of one test");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let authority = params.self_signed(&key).expect("its own key signs it");
        fs::write(folder.path().join("ca.crt"), authority.pem()).expect("the folder can be written");
        let issuer = Issuer::new(params, key);
        for (name, purpose) in
            [("server", ExtendedKeyUsagePurpose::ServerAuth), ("client", ExtendedKeyUsagePurpose::ClientAuth)]
        {
            let key = KeyPair::generate().expect("keys can be made");
            let mut params = self::params(&["127.0.0.1", "localhost"], name);
            params.extended_key_usages = vec![purpose];
            let signed = params.signed_by(&key, &issuer).expect("the authority signs it");
            let file = |ending: &str| folder.path().join(format!("{name}.{ending}"));
            fs::write(file("crt"), signed.pem()).expect("the folder can be written");
            fs::write(file("key"), key.serialize_pem()).expect("the folder can be written");
        }
        Certificates { folder }
    }

    /// Returns the path of a file: `ca.crt`, `server.crt`, `server.key`, `client.crt` or `client.key`.
    pub fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Returns the folder of the files.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }
}

impl Default for Certificates {
    fn default() -> Certificates {
        Certificates::new()
    }
}

fn params(names: &[&str], common: &str) -> CertificateParams {
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let mut params = CertificateParams::new(names).expect("the names are valid");
    params.distinguished_name.push(DnType::CommonName, common);
    params
}
