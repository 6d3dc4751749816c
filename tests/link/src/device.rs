//! One end of a link: a TUN device in a host. What the host sends into it can be read here, packet by packet, and what
//! is written here the host receives.

use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::net::Ipv4Addr;
use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd};

use rustix::process::{PidfdFlags, PidfdGetfdFlags, getpid, pidfd_getfd, pidfd_open};
use tokio_tun::Tun;

use crate::host::Host;
use crate::{MTU, address};

/// The device's file. With it the device is gone.
#[derive(Debug)]
pub(crate) struct Device {
    file: File,
}

impl Device {
    /// Makes it in a host.
    pub(crate) fn make(host: &Host, name: &str) -> io::Result<Self> {
        let file = host.within(|| make_here(name))??;
        Ok(Self { file })
    }

    /// Reads the next packet into the buffer; nothing where there is none now.
    pub(crate) fn read<'a>(&self, buffer: &'a mut [u8]) -> io::Result<Option<&'a mut [u8]>> {
        match (&self.file).read(buffer) {
            Ok(length) => Ok(buffer.get_mut(..length)),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Gives a packet to the host.
    pub(crate) fn write(&self, packet: &[u8]) -> io::Result<()> {
        (&self.file).write_all(packet)
    }
}

impl AsFd for Device {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

/// Makes a device in the namespace that this thread is in. It is asked for no offload: the kernel cuts large segments
/// and sums them up before it gives them to the device.
fn make_here(name: &str) -> io::Result<File> {
    // The crate wants a runtime to wait in. Its timers count milliseconds, in which a hundred megabits bring eight
    // packets, so the file is waited for without it: a second descriptor of it is taken out.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .build()?;
    let _within = runtime.enter();
    let made = Tun::builder().name(name).mtu(MTU.into()).up().build();
    let [device] = <[Tun; 1]>::try_from(made.map_err(io::Error::other)?)
        .map_err(|_more| io::Error::other("more than one device"))?;
    let this = pidfd_open(getpid(), PidfdFlags::empty())?;
    let file = pidfd_getfd(this, device.as_raw_fd(), PidfdGetfdFlags::empty())?;
    Ok(File::from(file))
}

/// Gives a device its address, in the link's network.
pub(crate) fn add_address(host: &Host, device: &str, own: Ipv4Addr) -> io::Result<()> {
    let own = format!("{own}/{}", address::PREFIX);
    host.ip(&["address", "add", &own, "dev", device])
}

/// Takes an address away.
pub(crate) fn remove_address(host: &Host, device: &str, own: Ipv4Addr) -> io::Result<()> {
    let own = format!("{own}/{}", address::PREFIX);
    host.ip(&["address", "delete", &own, "dev", device])
}

/// Packets that the kernel itself dropped on their way into the device, because nobody read them in time.
pub(crate) fn dropped_by_the_kernel(host: &Host, device: &str) -> io::Result<u64> {
    // A process sees the devices of the namespace that the reading thread is in.
    let table = host.within(|| std::fs::read_to_string("/proc/thread-self/net/dev"))??;
    let fields = table.lines().find_map(|line| {
        let (name, fields) = line.split_once(':')?;
        (name.trim() == device).then(|| fields.split_whitespace())
    });
    // Eight fields of what was received; then bytes, packets, errors, dropped of what was sent.
    let dropped = fields.and_then(|mut fields| fields.nth(11)?.parse().ok());
    dropped.ok_or_else(|| io::Error::other(format!("no device {device}")))
}
