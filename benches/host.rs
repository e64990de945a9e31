//! The real program as a child process, and the folder it runs in.

use std::{
    fs::{self, File},
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{SocketAddr, TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::mpsc::{self, Receiver},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};
use tempfile::TempDir;

/// How long anything may take that has no goal.
const PATIENCE: Duration = Duration::from_secs(60);

/// The first tenant's key.
pub(crate) const KEY: &str = "bench-key-0-0123456789abcdef0123456789abcdef";

/// A folder with the three files, on the disk that the target folder is on.
pub(crate) struct Folder(TempDir);

impl Folder {
    pub(crate) fn new() -> Result<Self> {
        let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR"))?;
        Ok(Self(folder))
    }

    /// With `count` tenants, the plugins of `plugins`, and in each tenant the channels of
    /// `channels` (`%TENANT%` stands for its id).
    pub(crate) fn with(count: usize, plugins: &str, channels: &str) -> Result<Self> {
        let folder = Self::new()?;
        let (mut tenants, mut all_channels) = (String::new(), String::new());
        let mut dotenv = String::new();
        for number in 0..count {
            let id = tenant_id(number);
            use std::fmt::Write as _;
            write!(
                tenants,
                "[[tenant]]\nid = \"{id}\"\nname = \"Tenant {number}\"\nauth_key_env = \
                 \"KEY_{number}\"\n[tenant.limits]\nqueue = 10000000\n\n"
            )?;
            writeln!(dotenv, "KEY_{number}={}", key(number))?;
            all_channels.push_str(&channels.replace("%TENANT%", &id));
        }
        folder.write("plugins.toml", plugins)?;
        folder.write("tenants.toml", &tenants)?;
        // A file without a word would be taken for one that is half written.
        folder.write("channels.toml", format!("# generated\n{all_channels}"))?;
        folder.write(".env", &dotenv)?;
        Ok(folder)
    }

    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }

    /// By rename, as editors do it.
    pub(crate) fn write(&self, name: &str, content: impl AsRef<[u8]>) -> Result<PathBuf> {
        let (path, new) = (self.path().join(name), self.path().join(format!("{name}.new")));
        fs::write(&new, content)?;
        fs::rename(&new, &path)?;
        Ok(path)
    }
}

/// The key of a generated tenant.
pub(crate) fn key(number: usize) -> String {
    format!("bench-key-{number}-0123456789abcdef0123456789abcdef")
}

/// The id of a generated tenant.
pub(crate) fn tenant_id(number: usize) -> String {
    format!("019aa7c4-5e00-7c3a-9b51-{number:012x}")
}

/// Where the host writes its log.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Log {
    /// Nowhere, as fast as that goes.
    Null,
    /// To us.
    Read,
}

/// A running host. Killed when it is dropped: nothing here is about stopping.
pub(crate) struct Host {
    child: Child,
    pub(crate) address: SocketAddr,
    lines: Option<Receiver<String>>,
    /// From the start of the process until it said that it listens, if its log is read.
    pub(crate) started_in: Option<Duration>,
}

impl Host {
    pub(crate) fn start(folder: &Folder, more: &[&str], log: Log) -> Result<Self> {
        let address = free_address()?;
        let mut command = Command::new(env!("CARGO_BIN_EXE_conductor"));
        command.arg("serve").arg("--config-dir").arg(folder.path());
        command.args(["--listen", &address.to_string()]).args(more);
        command.env_remove("CONDUCTOR_DATA_DIR").env_remove("RUST_LOG").stdin(Stdio::null());
        let stderr = match log {
            Log::Null => Stdio::from(File::options().write(true).open("/dev/null")?),
            Log::Read => Stdio::piped(),
        };
        let began = Instant::now();
        let mut child = command.stdout(Stdio::null()).stderr(stderr).spawn()?;
        let lines = child.stderr.take().map(read_lines);
        let mut host = Self { child, address, lines, started_in: None };
        if log == Log::Read {
            host.line_with("listening on")?;
            host.started_in = Some(began.elapsed());
        }
        wait_for_answer(address, &mut host.child)?;
        Ok(host)
    }

    /// The next line of the log with `text` in it.
    pub(crate) fn line_with(&self, text: &str) -> Result<String> {
        let lines = self.lines.as_ref().context("the log is not read")?;
        let deadline = Instant::now() + PATIENCE;
        let mut last = String::new();
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            match lines.recv_timeout(left) {
                Ok(line) if line.contains(text) => return Ok(line),
                Ok(line) => last = line,
                Err(_) => bail!("the log never said \"{text}\"; its last line: {last}"),
            }
        }
    }

    pub(crate) fn usage(&self) -> Result<Usage> {
        usage(self.child.id())
    }

    /// Memory of the process, in which a page that it has mapped several times counts once (`Pss`,
    /// proc_pid_smaps(5)): all instances of a plugin map the same image.
    pub(crate) fn memory_bytes(&self) -> Result<f64> {
        let text = fs::read_to_string(format!("/proc/{}/smaps_rollup", self.child.id()))?;
        let line = text.lines().find_map(|line| line.strip_prefix("Pss:")).context("no Pss")?;
        Ok(line.trim_end_matches("kB").trim().parse::<f64>()? * 1024.0)
    }

    /// One number of `/metrics`, by its name and, if it has them, labels.
    pub(crate) fn metric(&self, name: &str) -> Result<f64> {
        let text = get(self.address, "/metrics").context("/metrics")?;
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        Ok(line.with_context(|| format!("no {name} in /metrics"))?.trim().parse()?)
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        stop(&mut self.child);
    }
}

/// Ends a child process.
pub(crate) fn stop(child: &mut Child) {
    // It may have ended by itself.
    let _killed = child.kill();
    let _reaped = child.wait();
}

fn read_lines(stderr: impl std::io::Read + Send + 'static) -> Receiver<String> {
    let (lines_in, lines) = mpsc::channel();
    thread::spawn(move || {
        for line in BufReader::new(stderr).lines().map_while(Result::ok) {
            // Read on when nobody listens: a full pipe would stop the host.
            let _unheard = lines_in.send(line);
        }
    });
    lines
}

/// A port that was free a moment ago.
pub(crate) fn free_address() -> Result<SocketAddr> {
    Ok(TcpListener::bind(("127.0.0.1", 0))?.local_addr()?)
}

/// Waits until somebody answers requests. A port that is open is not enough: the host listens
/// before it has read its files.
pub(crate) fn wait_for_answer(address: SocketAddr, child: &mut Child) -> Result<()> {
    let began = Instant::now();
    while !answers(address) {
        if let Some(status) = child.try_wait()? {
            bail!("the program ended at its start: {status}");
        }
        if began.elapsed() > PATIENCE {
            bail!("nobody answers on {address}");
        }
        thread::sleep(Duration::from_millis(5));
    }
    Ok(())
}

fn answers(address: SocketAddr) -> bool {
    get(address, "/ready").is_ok_and(|answer| answer.starts_with("HTTP/1.1 "))
}

/// A whole answer as text.
fn get(address: SocketAddr, path: &str) -> Result<String> {
    let mut stream = TcpStream::connect(address)?;
    let request = format!("GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n");
    let mut answer = String::new();
    stream.write_all(request.as_bytes())?;
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}

/// What a process has used.
pub(crate) struct Usage {
    pub(crate) rss_bytes: f64,
    pub(crate) rss_bytes_peak: f64,
    pub(crate) cpu: Duration,
}

/// Reads it from the kernel.
pub(crate) fn usage(pid: u32) -> Result<Usage> {
    /// Linux counts CPU time for user space in hundredths of a second, on every architecture.
    const TICK: Duration = Duration::from_millis(10);
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let bytes = |name: &str| -> Result<f64> {
        let line =
            status.lines().find_map(|line| line.strip_prefix(name)).context("no such line")?;
        Ok(line.trim_end_matches("kB").trim().parse::<f64>()? * 1024.0)
    };
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    let (_, fields) = stat.rsplit_once(')').context("an unknown form of stat")?;
    // utime and stime are the 14th and 15th; the name in parentheses was the second.
    let ticks = fields.split_whitespace().skip(11).take(2).map(str::parse::<u32>);
    let ticks: u32 = ticks.sum::<std::result::Result<u32, _>>()?;
    Ok(Usage { rss_bytes: bytes("VmRSS:")?, rss_bytes_peak: bytes("VmHWM:")?, cpu: TICK * ticks })
}
