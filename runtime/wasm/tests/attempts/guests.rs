//! Guests in text.

pub(crate) const NO_OP: &str = r#"(module (memory (export "memory") 1) (func (export "_start")))"#;
pub(crate) const ENDLESS: &str = r#"(module (memory (export "memory") 1) (func (export "_start") (loop (br 0))))"#;

/// A preview 1 module with helpers: `$print` writes bytes to stdout, `$exit` ends, `$open` opens a
/// path and gives the descriptor or ends with the error's number.
pub(crate) fn guest(data: &str, body: &str) -> String {
    format!(
        r#"(module
  (import "wasi_snapshot_preview1" "fd_write" (func $fd_write (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_read" (func $fd_read (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_close" (func $fd_close (param i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_prestat_get" (func $fd_prestat_get (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_prestat_dir_name" (func $fd_prestat_dir_name (param i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "path_open" (func $path_open (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "path_create_directory" (func $path_create_directory (param i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "path_symlink" (func $path_symlink (param i32 i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "args_sizes_get" (func $args_sizes_get (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "args_get" (func $args_get (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "environ_sizes_get" (func $environ_sizes_get (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "environ_get" (func $environ_get (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
  (memory (export "memory") 2)
  (data (i32.const 1024) "{data}")
  (func $check (param $errno i32)
    (if (local.get $errno) (then (call $exit (local.get $errno)))))
  (func $write (param $fd i32) (param $at i32) (param $length i32)
    (i32.store (i32.const 0) (local.get $at))
    (i32.store (i32.const 4) (local.get $length))
    (call $check (call $fd_write (local.get $fd) (i32.const 0) (i32.const 1) (i32.const 8))))
  (func $print (param $at i32) (param $length i32)
    (call $write (i32.const 1) (local.get $at) (local.get $length)))
  ;; flags: 1 create, 8 truncate; rights: 64 write, 2 read
  (func $open (param $folder i32) (param $at i32) (param $length i32) (param $flags i32) (param $rights i64) (result i32)
    (call $check (call $path_open (local.get $folder) (i32.const 0) (local.get $at) (local.get $length)
      (local.get $flags) (local.get $rights) (i64.const 0) (i32.const 0) (i32.const 16)))
    (i32.load (i32.const 16)))
  (func $read (param $fd i32) (param $at i32) (param $length i32) (result i32)
    (i32.store (i32.const 0) (local.get $at))
    (i32.store (i32.const 4) (local.get $length))
    (call $check (call $fd_read (local.get $fd) (i32.const 0) (i32.const 1) (i32.const 8)))
    (i32.load (i32.const 8)))
  (func (export "_start") (local $n i32) {body}))"#
    )
}

pub(crate) fn hello() -> String {
    guest("hello\\n", "(call $print (i32.const 1024) (i32.const 6))")
}

pub(crate) fn exit_with(code: i32) -> String {
    guest("", &format!("(call $exit (i32.const {code}))"))
}

/// Ends with the number of the error that opening a file to read gives.
pub(crate) fn open_to_read(folder: i32, path: &str) -> String {
    let length = path.len();
    guest(
        path,
        &format!(
            "(drop (call $open (i32.const {folder}) (i32.const 1024) (i32.const {length}) (i32.const 0) (i64.const 2)))"
        ),
    )
}

/// Ends with the number of the error that making a file gives; writes `text` into it.
pub(crate) fn write_file(folder: i32, path: &str, text: &str) -> String {
    let (length, at, text_length) = (path.len(), 1024 + path.len(), text.len());
    guest(&format!("{path}{text}"), &format!(
        "(call $write (call $open (i32.const {folder}) (i32.const 1024) (i32.const {length}) (i32.const 1) (i64.const 64))
           (i32.const {at}) (i32.const {text_length}))"
    ))
}

/// Prints a file.
pub(crate) fn print_file(folder: i32, path: &str) -> String {
    let length = path.len();
    guest(path, &format!(
        "(local.set $n (call $read (call $open (i32.const {folder}) (i32.const 1024) (i32.const {length}) (i32.const 0) (i64.const 2))
           (i32.const 4096) (i32.const 4096)))
         (call $print (i32.const 4096) (local.get $n))"
    ))
}

/// Prints the guest's names of its folders, one a line.
pub(crate) fn print_folders() -> String {
    guest(
        "\\n",
        "
      (local.set $n (i32.const 3))
      (block $done (loop $next
        (br_if $done (call $fd_prestat_get (local.get $n) (i32.const 32)))
        (drop (call $fd_prestat_dir_name (local.get $n) (i32.const 4096) (i32.load (i32.const 36))))
        (call $print (i32.const 4096) (i32.load (i32.const 36)))
        (call $print (i32.const 1024) (i32.const 1))
        (local.set $n (i32.add (local.get $n) (i32.const 1)))
        (br $next)))",
    )
}

/// Grows its memory until that is refused, then does `afterwards`.
pub(crate) fn grow_then(afterwards: &str) -> String {
    guest("", &format!("(loop (br_if 0 (i32.ne (memory.grow (i32.const 16)) (i32.const -1)))) {afterwards}"))
}

/// Writes 4 KiB `times` times, endlessly for 0.
pub(crate) fn flood(times: u32) -> String {
    guest(
        "",
        &format!(
            "(memory.fill (i32.const 8192) (i32.const 120) (i32.const 4096))
         (loop
           (call $print (i32.const 8192) (i32.const 4096))
           (local.set $n (i32.add (local.get $n) (i32.const 1)))
           (br_if 0 (i32.ne (local.get $n) (i32.const {times}))))"
        ),
    )
}

/// A component with a core module's function `run` as its command; `imports` and `wiring` go before.
pub(crate) fn command(world: &str, before: &str, module: &str, with: &str) -> String {
    format!(
        r#"(component {before}
  (core module $m {module})
  (core instance $i (instantiate $m {with}))
  (func $run (result (result)) (canon lift (core func $i "run")))
  (instance $exported (export "run" (func $run)))
  (export "{world}" (instance $exported)))"#
    )
}
