//! C++'s replaceable operators `new` and `delete`, in all their forms.
//!
//! Most programs have them from their C++ library, which calls `malloc` and `free`: these do the same. They are for
//! programs linked with another malloc that has operators of its own (jemalloc, tcmalloc, mimalloc), which would
//! hand out that malloc's blocks, or take this one's.
//!
//! A program may replace any form by its own, and the others are to use that. So all come down to four,
//! as the standard says: `new`, `delete`, and both for what must be aligned. Each is reached through a variable that
//! the loader fills, with the executable's operator if it has one.
//!
//! When there is no memory, the C++ library's operator of the same name is called, who asks again, calls the
//! handler that the program set, and throws what its `catch` knows.

use core::marker::PhantomData;
use core::mem::transmute_copy;
use core::ptr::{null_mut, read_volatile};
use core::sync::atomic::AtomicPtr;
use core::sync::atomic::Ordering::Relaxed;
use libc::{RTLD_LAZY, RTLD_NOLOAD, aligned_alloc, c_void, free, malloc, size_t};

type New = unsafe extern "C-unwind" fn(size_t) -> *mut c_void;
type NewAligned = unsafe extern "C-unwind" fn(size_t, size_t) -> *mut c_void;
type NewNothrow = unsafe extern "C-unwind" fn(size_t, *const c_void) -> *mut c_void;
type NewAlignedNothrow = unsafe extern "C-unwind" fn(size_t, size_t, *const c_void) -> *mut c_void;
type Delete = unsafe extern "C" fn(*mut c_void);
type DeleteAligned = unsafe extern "C" fn(*mut c_void, size_t);

/// An operator as this process has it.
struct InForce<F>(F);

impl<F: Copy> InForce<F> {
    fn get(&self) -> F {
        // SAFETY: a variable; volatile, since the loader may have put another function there.
        unsafe { read_volatile(&raw const self.0) }
    }

    /// Whether it is this library's, not one that the program has replaced it by.
    fn is_here(&self) -> bool {
        unsafe extern "C" {
            // The linker's: this library's first byte, and the one behind its last.
            static __ehdr_start: u8;
            static _end: u8;
        }
        let (from, to) = (&raw const __ehdr_start, &raw const _end);
        // SAFETY: F is a function's address in all of them.
        let address = unsafe { read_volatile((&raw const self.0).cast::<*const u8>()) };
        (from..to).contains(&address)
    }
}

static NEW: InForce<New> = InForce(new);
static NEW_ARRAY: InForce<New> = InForce(new_array);
static NEW_ALIGNED: InForce<NewAligned> = InForce(new_aligned);
static NEW_ARRAY_ALIGNED: InForce<NewAligned> = InForce(new_array_aligned);
static DELETE: InForce<Delete> = InForce(delete);
static DELETE_ARRAY: InForce<Delete> = InForce(delete_array);
static DELETE_ALIGNED: InForce<DeleteAligned> = InForce(delete_aligned);
static DELETE_ARRAY_ALIGNED: InForce<DeleteAligned> = InForce(delete_array_aligned);

/// The C++ library's own operator of a name that ends in NUL.
struct Library<F> {
    name: &'static str,
    found: AtomicPtr<c_void>,
    operator: PhantomData<F>,
}

impl<F> Library<F> {
    const fn operator(name: &'static str) -> Self {
        Self {
            name,
            found: AtomicPtr::new(null_mut()),
            operator: PhantomData,
        }
    }

    /// `None` if there is no C++ library, or none that has it. One that is there stays loaded from now on.
    #[cold]
    fn get(&self) -> Option<F> {
        let mut found = self.found.load(Relaxed);
        for library in [c"libstdc++.so.6", c"libc++.so.1"] {
            if found.is_null() {
                // SAFETY: texts; and of null, which a library is that is not loaded, nothing is asked.
                unsafe {
                    let library = libc::dlopen(library.as_ptr(), RTLD_LAZY | RTLD_NOLOAD);
                    if !library.is_null() {
                        found = libc::dlsym(library, self.name.as_ptr().cast());
                    }
                }
            }
        }
        self.found.store(found, Relaxed);
        // SAFETY: the name's operator is of this type, and null is none.
        unsafe { transmute_copy::<*mut c_void, Option<F>>(&found) }
    }
}

/// Nobody is there who could throw.
#[cold]
fn end() -> ! {
    let line = b"goheap: operator new: out of memory, and neither libstdc++ nor libc++ is loaded to throw std::bad_alloc\n";
    // SAFETY: a text of this length.
    unsafe {
        let _ = libc::write(2, line.as_ptr().cast(), line.len());
        libc::abort()
    }
}

/// `operator new(size_t)`.
///
/// # Safety
/// As C++'s.
#[unsafe(export_name = "_Znwm")]
pub unsafe extern "C-unwind" fn new(bytes: size_t) -> *mut c_void {
    // SAFETY: any size will do.
    let at = unsafe { malloc(bytes.max(1)) };
    if at.is_null() {
        return without_memory(bytes);
    }
    at
}

#[cold]
#[inline(never)]
extern "C-unwind" fn without_memory(bytes: size_t) -> *mut c_void {
    static THEIRS: Library<New> = Library::operator("_Znwm\0");
    let Some(theirs) = THEIRS.get() else { end() };
    // SAFETY: any size will do.
    unsafe { theirs(bytes) }
}

/// `operator new(size_t, align_val_t)`.
///
/// # Safety
/// As C++'s.
#[unsafe(export_name = "_ZnwmSt11align_val_t")]
pub unsafe extern "C-unwind" fn new_aligned(bytes: size_t, align: size_t) -> *mut c_void {
    // SAFETY: any numbers will do.
    let at = unsafe { aligned_alloc(align, bytes.max(1)) };
    if at.is_null() {
        return aligned_without_memory(bytes, align);
    }
    at
}

#[cold]
#[inline(never)]
extern "C-unwind" fn aligned_without_memory(bytes: size_t, align: size_t) -> *mut c_void {
    static THEIRS: Library<NewAligned> = Library::operator("_ZnwmSt11align_val_t\0");
    let Some(theirs) = THEIRS.get() else { end() };
    // SAFETY: any numbers will do.
    unsafe { theirs(bytes, align) }
}

/// `operator new[](size_t)`.
///
/// # Safety
/// As C++'s.
#[unsafe(export_name = "_Znam")]
pub unsafe extern "C-unwind" fn new_array(bytes: size_t) -> *mut c_void {
    // SAFETY: the caller's contract.
    unsafe { NEW.get()(bytes) }
}

/// `operator new[](size_t, align_val_t)`.
///
/// # Safety
/// As C++'s.
#[unsafe(export_name = "_ZnamSt11align_val_t")]
pub unsafe extern "C-unwind" fn new_array_aligned(bytes: size_t, align: size_t) -> *mut c_void {
    // SAFETY: the caller's contract.
    unsafe { NEW_ALIGNED.get()(bytes, align) }
}

/// The forms that return null instead of throwing. Rust cannot catch C++'s exceptions: where one
/// may be thrown, by the program's own operator or its handler, the C++ library's form is called, which can.
macro_rules! nothrow {
    ($($symbol:literal $name:ident($($argument:ident),*) as $type:ty, while $($plain:ident)&&+: $ours:expr;)*) => {$(
        #[doc = concat!("`", $symbol, "`.")]
        ///
        /// # Safety
        /// As C++'s.
        #[unsafe(export_name = $symbol)]
        pub unsafe extern "C-unwind" fn $name($($argument: size_t,)* tag: *const c_void) -> *mut c_void {
            static THEIRS: Library<$type> = Library::operator(concat!($symbol, "\0"));
            if $($plain.is_here())&&+ {
                // SAFETY: any numbers will do.
                let at = unsafe { $ours };
                if !at.is_null() {
                    return at;
                }
            }
            match THEIRS.get() {
                // SAFETY: the caller's contract.
                Some(theirs) => unsafe { theirs($($argument,)* tag) },
                None => null_mut(),
            }
        }
    )*};
}

nothrow! {
    "_ZnwmRKSt9nothrow_t" new_nothrow(bytes) as NewNothrow,
        while NEW: malloc(bytes.max(1));
    "_ZnamRKSt9nothrow_t" new_array_nothrow(bytes) as NewNothrow,
        while NEW_ARRAY && NEW: malloc(bytes.max(1));
    "_ZnwmSt11align_val_tRKSt9nothrow_t" new_aligned_nothrow(bytes, align) as NewAlignedNothrow,
        while NEW_ALIGNED: aligned_alloc(align, bytes.max(1));
    "_ZnamSt11align_val_tRKSt9nothrow_t" new_array_aligned_nothrow(bytes, align) as NewAlignedNothrow,
        while NEW_ARRAY_ALIGNED && NEW_ALIGNED: aligned_alloc(align, bytes.max(1));
}

/// `operator delete(void*)`.
///
/// # Safety
/// As C++'s.
#[unsafe(export_name = "_ZdlPv")]
pub unsafe extern "C" fn delete(at: *mut c_void) {
    // SAFETY: the caller's contract.
    unsafe { free(at) }
}

/// `operator delete(void*, align_val_t)`.
///
/// # Safety
/// As C++'s.
#[unsafe(export_name = "_ZdlPvSt11align_val_t")]
pub unsafe extern "C" fn delete_aligned(at: *mut c_void, _align: size_t) {
    // SAFETY: the caller's contract.
    unsafe { free(at) }
}

/// The forms of delete that come down to others: what more they are told is left out.
macro_rules! deletes {
    ($($symbol:literal $name:ident($($told:ident: $type:ty),*) by $other:ident($($passed:ident),*);)*) => {$(
        #[doc = concat!("`", $symbol, "`.")]
        ///
        /// # Safety
        /// As C++'s.
        #[unsafe(export_name = $symbol)]
        pub unsafe extern "C" fn $name(at: *mut c_void $(, $told: $type)*) {
            // SAFETY: the caller's contract.
            unsafe { $other.get()(at $(, $passed)*) }
        }
    )*};
}

deletes! {
    "_ZdaPv" delete_array() by DELETE();
    "_ZdlPvm" delete_sized(_bytes: size_t) by DELETE();
    "_ZdaPvm" delete_array_sized(_bytes: size_t) by DELETE_ARRAY();
    "_ZdlPvRKSt9nothrow_t" delete_nothrow(_tag: *const c_void) by DELETE();
    "_ZdaPvRKSt9nothrow_t" delete_array_nothrow(_tag: *const c_void) by DELETE_ARRAY();
    "_ZdaPvSt11align_val_t" delete_array_aligned(align: size_t) by DELETE_ALIGNED(align);
    "_ZdlPvmSt11align_val_t" delete_sized_aligned(_bytes: size_t, align: size_t) by DELETE_ALIGNED(align);
    "_ZdaPvmSt11align_val_t" delete_array_sized_aligned(_bytes: size_t, align: size_t) by DELETE_ARRAY_ALIGNED(align);
    "_ZdlPvSt11align_val_tRKSt9nothrow_t" delete_aligned_nothrow(align: size_t, _tag: *const c_void) by DELETE_ALIGNED(align);
    "_ZdaPvSt11align_val_tRKSt9nothrow_t" delete_array_aligned_nothrow(align: size_t, _tag: *const c_void) by DELETE_ARRAY_ALIGNED(align);
}
