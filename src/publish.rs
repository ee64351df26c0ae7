//! Shows the process's counters to whoever may look, and takes commands from there
//! ([`goheap_stats::shared_page`] says how).
//!
//! The page is made, and the thread that answers is started, on the first allocation that goes beyond
//! a thread's cache and finds libc set up; in the child of a `fork`, on the first such one there. From then on the thread
//! sleeps in the kernel until somebody asks. It has no cache, so reading the counters moves nobody's
//! slots, and it opens no file: a program may count on which descriptor it gets next. Where the system refuses any of it, the process just is not seen.
//!
//! The allocation may be a signal handler's. On a stack for signals nothing of this is done; but where the handler is on a thread's
//! own, of which little may be left, what takes some hundred bytes of it is a function of its own, and done before the next begins.
//!
//! A process that ends in order removes its page. Was the page prepared by who started the process,
//! it stays, with a last snapshot in it: the thread takes that, not the thread that exits, which may have been
//! interrupted while it held a lock.

use crate::runtime::RUNTIME;
use crate::{alone, control, explain, map, profile, roll, snapshot};
use core::ffi::{CStr, c_void};
use core::fmt::Write;
use core::ptr::{NonNull, null_mut};
use core::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release};
use core::sync::atomic::{AtomicBool, AtomicPtr, AtomicU8, AtomicU64};
use core::time::Duration;
use goheap_allocator::SizeClass;
use goheap_allocator::os::{self, Line, ProcessId};
use goheap_stats::SharedPage;
use goheap_stats::shared_page::{self, BYTES, Command, FOLDER, Identity, Life};

/// To be published, once libc is set up.
const NEW: u8 = 0;
/// The child of a `fork`, to be published.
const FORKED: u8 = 1;
/// Published, or refused by the system.
const SETTLED: u8 = 2;
/// Not to be published.
const OFF: u8 = 3;

static STATE: AtomicU8 = AtomicU8::new(NEW);
static PAGE: AtomicPtr<SharedPage> = AtomicPtr::new(null_mut());
static WATCHES_EXIT: AtomicBool = AtomicBool::new(false);
/// The thread has [ended](crate::alone), and is to be started again.
static ENDED: AtomicBool = AtomicBool::new(false);

/// How long a process that ends waits for its last snapshot: for good if locks are held, and else
/// as long as it takes.
const PATIENCE: Duration = Duration::from_secs(1);

/// Sets whether the process is to be seen.
pub fn configure(publish: bool) {
    if !publish {
        STATE.store(OFF, Relaxed);
    }
}

/// Publishes the process if that is yet to be done; `false` if it is too early. To be called where
/// the calling thread holds no lock: starting a thread may allocate.
pub fn begin_if_due() -> bool {
    let state = STATE.load(Relaxed);
    if state > FORKED {
        return true;
    }
    if state == NEW && !os::has_environment() {
        return false;
    }
    let won = STATE.compare_exchange(state, SETTLED, AcqRel, Relaxed);
    if won.is_ok() {
        os::keeping_errno(begin);
    }
    true
}

#[inline(never)]
fn begin() {
    after_start();
    let Some(own) = ProcessId::own() else { return };
    remove_stale(own.namespace);
    if let Some((path, page)) = open(own) {
        publish(&path, page);
    }
}

/// The path of the process's page, and the page.
fn open(own: ProcessId) -> Option<(Path, &'static SharedPage)> {
    let path = Path::of(own)?;
    let page = os::share(path.text()?, BYTES)?;
    // SAFETY: mapped, and as long as a page of atomics, for which all bits are values.
    Some((path, unsafe { page.cast().as_ref() }))
}

fn publish(path: &Path, page: &'static SharedPage) {
    page.begin(owner(), |class| SizeClass::from_index(class).bytes() as u32);
    // Release: pairs with Acquire in `page`.
    PAGE.store(core::ptr::from_ref(page).cast_mut(), Release);
    if start_answering(path) {
        profile::begin();
        watch_exit();
    }
}

/// Starts the thread; where the system refuses it, the page goes.
fn start_answering(path: &Path) -> bool {
    // SAFETY: no stack is given.
    let started = unsafe { os::start_thread(c"goheap-publish", None, 0, answer) };
    if !started {
        forget_page();
        path.remove();
    }
    started
}

/// Starts the thread again if it had to end.
pub fn answer_again() {
    // Acquire: pairs with Release in `answer`.
    if ENDED.swap(false, Acquire)
        && answers()
        && let Some(path) = ProcessId::own().and_then(Path::of)
    {
        start_answering(&path);
    }
}

fn watch_exit() {
    if !WATCHES_EXIT.swap(true, Relaxed) {
        os::at_exit(at_exit);
    }
}

/// Tells `goheap run`, where the program runs under it, that the program is there. Done at the first allocation beyond a thread's
/// cache; for who is called as a program starts, since many a short one never comes so far. Allocates nothing; a few system
/// calls where there is somebody to tell, and one look at the environment otherwise.
pub fn after_start() {
    roll::began();
    if roll::is_told() {
        watch_exit();
    }
}

/// Tells this heap from others in the process: the library's, say, under a program that has one, too.
fn owner() -> u64 {
    (&raw const STATE).addr() as u64
}

fn page() -> Option<&'static SharedPage> {
    // Acquire: pairs with Release in `publish`.
    // SAFETY: null, or a page that is unmapped only where no thread uses it.
    unsafe { PAGE.load(Acquire).as_ref() }
}

/// Unmaps the page, which no other thread uses.
fn forget_page() {
    if let Some(page) = NonNull::new(PAGE.swap(null_mut(), AcqRel)) {
        // SAFETY: `share` returned it; the caller knows that nobody uses it.
        unsafe { os::unshare(page.cast(), BYTES) };
    }
}

/// In the child of a `fork`, whose page is the parent's, and where the thread does not exist.
pub fn after_fork_in_child() {
    forget_page();
    if STATE.load(Relaxed) == SETTLED {
        STATE.store(FORKED, Relaxed);
    }
}

/// Whether a thread of this heap's answers: not where another heap of the process has taken the page.
pub fn answers() -> bool {
    page().is_some_and(|page| page.is_owned_by(owner()))
}

/// Carries out what is asked for, as long as the page is this heap's.
extern "C" fn answer(_: *mut c_void) -> *mut c_void {
    let Some(page) = page() else {
        return null_mut();
    };
    while page.is_owned_by(owner()) {
        profile::serve();
        let Some((request, command)) = page.asked() else {
            if alone::is_asked() {
                // Release: pairs with Acquire in `answer_again`.
                ENDED.store(true, Release);
                break;
            }
            let answered = page.answered().load(Relaxed);
            os::wait_shared(page.request(), answered, None);
            continue;
        };
        let done = command.is_some_and(|command| carry_out(page, command));
        let last = page.life() == Life::Ending;
        let mut snapshot = snapshot::of_process();
        if last {
            let resident = os::Resident::own();
            snapshot.rss = resident.now;
            snapshot.peak_rss = resident.peak;
        }
        page.publish(&snapshot, last);
        page.answer(request, done);
        os::wake_shared(page.answered());
        if last {
            // Whoever asks while the process ends is to find this snapshot, and no later one.
            break;
        }
    }
    null_mut()
}

/// Removes pages of processes that are gone without having done so: the children that a server forks
/// and kills would otherwise leave more and more. Looks at the newest dozen.
#[inline(never)]
fn remove_stale(namespace: u64) {
    os::for_some_names(FOLDER, &mut [0; 128], |name| {
        if let Some(other) = Identity::from_name(name)
            && other.namespace == namespace
            && !os::process_exists(other.pid)
            && let Some(path) = Path::to(other)
        {
            path.remove();
        }
    });
}

/// Does what is asked for; `false`: it cannot be done here.
fn carry_out(page: &'static SharedPage, command: Command) -> bool {
    match command {
        Command::Map { bytes } => return write_map(page, bytes),
        Command::Look => {}
        Command::Gc => control::gc(),
        Command::FreeOsMemory => control::free_os_memory(),
        Command::Explain => page.show_holdings(&explain::holdings()),
        Command::Set {
            gc_percent,
            memory_limit,
        } => {
            gc_percent.map(control::set_gc_percent);
            memory_limit.map(control::set_memory_limit);
        }
        Command::Profile { peak } => {
            let path = ProcessId::own().and_then(Path::of_profile);
            let path = path.as_ref().and_then(Path::text);
            return path.is_some_and(|path| profile::hand_over(path, peak));
        }
    }
    true
}

/// Has the thread that answers look what else there is to do. May be called in a signal handler.
pub fn ring() {
    if RUNTIME.process.load(Relaxed) == os::process_id()
        && let Some(page) = page()
    {
        page.ring();
        os::wake_shared(page.request());
    }
}

/// Writes a map of the heap behind the page, where who asks has put so many bytes.
fn write_map(page: &'static SharedPage, bytes: u64) -> bool {
    let Ok(bytes) = usize::try_from(bytes) else {
        return false;
    };
    let own = NonNull::from(page).cast();
    // SAFETY: the page was mapped by `share`, and who asked keeps the file as long as it said until it is answered.
    let Some(all) = (unsafe { os::share_again(own, BYTES.saturating_add(bytes)) }) else {
        return false;
    };
    // SAFETY: mapped, so long, and words of atomics, for which all bits are values.
    unsafe {
        let behind = all.add(BYTES).cast();
        map::write(core::slice::from_raw_parts(
            behind.as_ptr(),
            bytes / size_of::<AtomicU64>(),
        ));
        os::unshare(all, BYTES + bytes);
    }
    true
}

extern "C" fn at_exit() {
    before_end();
}

/// Takes the process's page away, or leaves the last snapshot in it. Done as a process exits in
/// order; for who ends one in another way. May be called in a signal handler.
pub fn before_end() {
    roll::ends();
    let Some(page) = page() else { return };
    // A child of `vfork` has all this, but it is its parent's.
    if RUNTIME.process.load(Relaxed) != os::process_id() {
        return;
    }
    profile::before_end();
    if !page.is_kept() {
        if let Some(path) = ProcessId::own().and_then(Path::of) {
            path.remove();
        }
        return;
    }
    if page.life() != Life::Running {
        // Another heap of this process saw to it.
        return;
    }
    os::wake_shared(page.end());
    let until = os::monotonic_ns().saturating_add(PATIENCE.as_nanos() as u64);
    loop {
        let answered = page.answered().load(Relaxed);
        let left = until.saturating_sub(os::monotonic_ns());
        if page.life() == Life::Ended || left == 0 {
            return;
        }
        os::wait_shared(page.answered(), answered, Some(Duration::from_nanos(left)));
    }
}

/// Prepares the page of the calling process for the program that it is about to become by `exec`: that
/// one will leave its last snapshot there, and the file for its parent to remove. Returns whether it could. Allocates
/// nothing and takes no lock, so it may be called between `fork` and `exec`.
pub fn prepare_for_exec() -> bool {
    match ProcessId::own().and_then(open) {
        Some((_, page)) => {
            page.prepare();
            true
        }
        None => false,
    }
}

fn identity_of(process: ProcessId) -> Identity {
    Identity {
        namespace: process.namespace,
        pid: process.pid,
        started: process.started,
    }
}

/// A page's path, made without allocating.
struct Path(Line);

impl Path {
    fn of(process: ProcessId) -> Option<Self> {
        Self::to(identity_of(process))
    }

    fn to(identity: Identity) -> Option<Self> {
        Self::ending(identity, "")
    }

    /// Where a process leaves its profile for who asked for it.
    fn of_profile(process: ProcessId) -> Option<Self> {
        Self::ending(identity_of(process), shared_page::PROFILE)
    }

    fn ending(identity: Identity, ending: &str) -> Option<Self> {
        let mut line = Line::new();
        write!(line, "{}/", FOLDER.to_str().ok()?).ok()?;
        identity.write_name(&mut line).ok()?;
        line.write_str(ending).ok()?;
        line.write_char('\0').ok()?;
        Some(Self(line))
    }

    fn text(&self) -> Option<&CStr> {
        CStr::from_bytes_with_nul(self.0.text()).ok()
    }

    fn remove(&self) {
        if let Some(path) = self.text() {
            os::unlink(path);
        }
    }
}
