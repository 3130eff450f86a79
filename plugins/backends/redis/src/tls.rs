use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error as TlsError, RootCertStore, SignatureScheme,
};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::error::{Problem, chain};
use crate::stream::Stream;

/// Options of TLS. Files are read at each connect, so that certificates can be renewed.
#[derive(Clone, Debug, Default)]
pub(crate) struct TlsOptions {
    /// Authorities that sign servers' certificates; those of the system if there is none.
    pub(crate) ca_certs: Option<PathBuf>,
    /// Certificate and key by which the server knows us.
    pub(crate) client: Option<(PathBuf, PathBuf)>,
    /// Accepts any certificate.
    pub(crate) unchecked: bool,
}

impl TlsOptions {
    /// Encrypts a connection to `host`.
    pub(crate) async fn wrap(&self, host: &str, tcp: TcpStream) -> Result<Stream, Problem> {
        let config = self.config()?;
        let name = ServerName::try_from(host.to_owned()).map_err(|_| {
            Problem::unreachable(format!("{host:?} is no name that a certificate could have")).field("host")
        })?;
        match TlsConnector::from(Arc::new(config)).connect(name, tcp).await {
            Ok(stream) => Ok(Box::new(stream)),
            Err(error) => Err(failed(&error)),
        }
    }

    fn config(&self) -> Result<ClientConfig, Problem> {
        let provider = Arc::new(ring::default_provider());
        let builder = ClientConfig::builder_with_provider(Arc::clone(&provider)).with_safe_default_protocol_versions();
        let builder = builder.map_err(|error| Problem::unreachable(format!("TLS cannot be used: {error}")))?;
        let builder = match self.unchecked {
            true => builder.dangerous().with_custom_certificate_verifier(Arc::new(Unchecked(provider))),
            false => {
                let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(self.roots()?), provider).build();
                let verifier = verifier.map_err(|error| {
                    Problem::unreachable(format!("there are no authorities to check certificates with: {error}"))
                        .field("ca_certs")
                })?;
                builder.with_webpki_verifier(verifier)
            }
        };
        let Some((certificate, key)) = &self.client else { return Ok(builder.with_no_client_auth()) };
        let chain = certificates(certificate, "client_cert")?;
        let key = PrivateKeyDer::from_pem_file(key).map_err(|error| unreadable(key, &error, "client_key"))?;
        builder.with_client_auth_cert(chain, key).map_err(|error| {
            Problem::unreachable(format!("`client_cert` and `client_key` do not go together: {error}"))
                .field("client_key")
        })
    }

    fn roots(&self) -> Result<RootCertStore, Problem> {
        let mut roots = RootCertStore::empty();
        match &self.ca_certs {
            Some(path) => {
                for certificate in certificates(path, "ca_certs")? {
                    roots.add(certificate).map_err(|error| {
                        Problem::unreachable(format!("a certificate in {} cannot be used: {error}", path.display()))
                            .field("ca_certs")
                    })?;
                }
            }
            None => drop(roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs)),
        }
        Ok(roots)
    }
}

fn certificates(path: &Path, field: &'static str) -> Result<Vec<CertificateDer<'static>>, Problem> {
    let read = CertificateDer::pem_file_iter(path).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    match read {
        Ok(certificates) if certificates.is_empty() => {
            Err(Problem::unreachable(format!("{} has no certificate in PEM", path.display())).field(field))
        }
        Ok(certificates) => Ok(certificates),
        Err(error) => Err(unreadable(path, &error, field)),
    }
}

fn unreadable(path: &Path, error: &rustls::pki_types::pem::Error, field: &'static str) -> Problem {
    Problem::unreachable(format!("{} cannot be read: {}", path.display(), chain(error))).field(field)
}

/// Says what to do about a handshake that failed.
fn failed(error: &std::io::Error) -> Problem {
    let Some(tls) = error.get_ref().and_then(|inner| inner.downcast_ref::<TlsError>()) else {
        let text = format!("the TLS handshake failed: {}; without TLS the scheme is `redis://`", chain(error));
        return Problem::unreachable(text).field("tls");
    };
    match tls {
        TlsError::InvalidMessage(_) => {
            Problem::unreachable("it does not speak TLS on this port: use `redis://`, or the port that it has for TLS")
                .field("tls")
        }
        // Two authorities may have one name.
        TlsError::InvalidCertificate(CertificateError::UnknownIssuer | CertificateError::BadSignature) => {
            Problem::unreachable("its certificate is signed by none of the authorities in `ca_certs`").field("ca_certs")
        }
        TlsError::InvalidCertificate(problem) => {
            Problem::unreachable(format!("its certificate is refused: {problem}")).field("ca_certs")
        }
        TlsError::AlertReceived(alert) => Problem::unreachable(format!(
            "it ended the TLS handshake ({alert:?}): it may want `client_cert` and `client_key`"
        ))
        .field("client_cert"),
        other => Problem::unreachable(format!("the TLS handshake failed: {other}")).field("tls"),
    }
}

/// Accepts any certificate: `cert_reqs = "none"`.
#[derive(Debug)]
struct Unchecked(Arc<CryptoProvider>);

impl ServerCertVerifier for Unchecked {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, TlsError> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, TlsError> {
        rustls::crypto::verify_tls12_signature(
            message,
            certificate,
            signature,
            &self.0.signature_verification_algorithms,
        )
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, TlsError> {
        rustls::crypto::verify_tls13_signature(
            message,
            certificate,
            signature,
            &self.0.signature_verification_algorithms,
        )
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
