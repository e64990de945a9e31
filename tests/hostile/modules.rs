//! Components with one more core module in them, whose start function runs before anything of the
//! plugin does. Written byte by byte (WebAssembly core specification 2.0, chapter 5, and the
//! component model's binary format): no toolchain makes these.

use wasmparser::{Parser, Payload};

/// A plugin with `module` in it, instantiated `times` times.
pub(super) fn plugin_with(plugin: &[u8], module: &[u8], times: usize) -> Vec<u8> {
    const CORE_MODULE: u8 = 1;
    const CORE_INSTANCE: u8 = 2;
    const INSTANTIATE: u8 = 0;
    const NO_ARGUMENTS: u8 = 0;
    let index = leb(modules_in(plugin));
    let instantiate = [&[INSTANTIATE], &index[..], &[NO_ARGUMENTS]].concat();
    let instances = [leb(times), instantiate.repeat(times)].concat();
    [plugin, &section(CORE_MODULE, module), &section(CORE_INSTANCE, &instances)].concat()
}

/// How many core modules a component has of its own.
fn modules_in(component: &[u8]) -> usize {
    let (mut depth, mut found) = (0, 0);
    for payload in Parser::new(0).parse_all(component) {
        match payload.unwrap() {
            Payload::ModuleSection { .. } => {
                found += usize::from(depth == 0);
                depth += 1;
            }
            Payload::ComponentSection { .. } => depth += 1,
            Payload::End(_) => depth -= 1,
            _ => {}
        }
    }
    found
}

/// What a module has beside its start function.
#[derive(Default)]
pub(super) struct Parts {
    /// Pages of each memory at its begin.
    pub(super) memories: Vec<usize>,
    /// Elements of each table at its begin.
    pub(super) tables: Vec<usize>,
    /// Where an active data segment of one byte is put.
    pub(super) data_at: Option<usize>,
}

/// A module whose start function is `body`: instructions without the `end` of the function.
pub(super) fn module(parts: &Parts, body: &[u8]) -> Vec<u8> {
    const FUNCREF: u8 = 0x70;
    const I32_CONST: u8 = 0x41;
    const END: u8 = 0x0b;
    let no_maximum = |of: &[usize], kind: &[u8]| {
        let items: Vec<u8> =
            of.iter().flat_map(|size| [kind, &[0], &leb(*size)[..]].concat()).collect();
        [leb(of.len()), items].concat()
    };
    let code = [&[0], body, &[END]].concat();
    let mut module = b"\0asm\x01\0\0\0".to_vec();
    // One type without parameters and results, one function of it.
    module.extend(section(1, &[1, 0x60, 0, 0]));
    module.extend(section(3, &[1, 0]));
    if !parts.tables.is_empty() {
        module.extend(section(4, &no_maximum(&parts.tables, &[FUNCREF])));
    }
    if !parts.memories.is_empty() {
        module.extend(section(5, &no_maximum(&parts.memories, &[])));
    }
    module.extend(section(8, &[0]));
    module.extend(section(10, &[&[1], &leb(code.len())[..], &code].concat()));
    if let Some(at) = parts.data_at {
        let data = [&[1, 0, I32_CONST], &signed_leb(at)[..], &[END, 1, 7]].concat();
        module.extend(section(11, &data));
    }
    module
}

/// `loop br 0 end`
pub(super) const SPIN: &[u8] = &[0x03, 0x40, 0x0c, 0, 0x0b];
/// `unreachable`
pub(super) const TRAP: &[u8] = &[0x00];
/// `call 0`, of itself.
pub(super) const RECURSE: &[u8] = &[0x10, 0];
/// `loop i32.const 256 memory.grow i32.const -1 i32.ne br_if 0 end unreachable`: 16 MiB at a time.
pub(super) const GROW_MEMORY: &[u8] =
    &[0x03, 0x40, 0x41, 0x80, 0x02, 0x40, 0, 0x41, 0x7f, 0x47, 0x0d, 0, 0x0b, 0x00];
/// `loop ref.null func i32.const 8192 table.grow 0 i32.const -1 i32.ne br_if 0 end unreachable`
pub(super) const GROW_TABLE: &[u8] = &[
    0x03, 0x40, 0xd0, 0x70, 0x41, 0x80, 0xc0, 0x00, 0xfc, 0x0f, 0, 0x41, 0x7f, 0x47, 0x0d, 0, 0x0b,
    0x00,
];
/// Nothing.
pub(super) const NOTHING: &[u8] = &[];

fn section(id: u8, content: &[u8]) -> Vec<u8> {
    [&[id], &leb(content.len())[..], content].concat()
}

fn leb(mut number: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    loop {
        let seven = u8::try_from(number & 0x7f).unwrap();
        number >>= 7;
        if number == 0 {
            bytes.push(seven);
            return bytes;
        }
        bytes.push(seven | 0x80);
    }
}

/// Of a number that is not negative: one more group where its highest bit would read as a sign.
fn signed_leb(number: usize) -> Vec<u8> {
    let mut bytes = leb(number);
    if let Some(last) = bytes.last_mut().filter(|last| **last & 0x40 != 0) {
        *last |= 0x80;
        bytes.push(0);
    }
    bytes
}
