//! The vDSO of a process: where it lies, and where its symbols say that their functions are (vdso(7), elf(5)).

use std::fs::File;
use std::os::unix::fs::FileExt;

use crate::{Error, Result};

/// More than any kernel's vDSO has.
const BYTES_MAX: u64 = 64 * 1024;

/// The vDSO, read from a process's memory.
#[derive(Debug)]
pub(super) struct Vdso {
    /// Its first address in the process.
    pub(super) base: u64,
    pub(super) symbols: Vec<Symbol>,
    /// Address of a `syscall` instruction in it.
    pub(super) syscall: u64,
}

/// A function that the vDSO offers.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Symbol {
    pub(super) name: String,
    /// Address of its entry's value, relative to the base.
    pub(super) value_at: u64,
    /// The value: the function's address relative to the base.
    pub(super) value: u64,
    /// Bytes of the function.
    pub(super) size: u64,
}

impl Vdso {
    /// Reads the vDSO of a stopped process.
    pub(super) fn read(pid: i32) -> Result<Vdso> {
        let fail = || format!("read the vDSO of process {pid}");
        let maps = std::fs::read_to_string(format!("/proc/{pid}/maps")).map_err(Error::system(fail()))?;
        let range = mapping(&maps, "[vdso]")
            .ok_or_else(|| Error::Unusable(format!("process {pid} has no vDSO: the kernel was started with `vdso=0`")))?;
        let mut image = vec![0; usize::try_from((range.1 - range.0).min(BYTES_MAX)).expect("it was bounded")];
        let memory = File::open(format!("/proc/{pid}/mem")).map_err(Error::system(fail()))?;
        memory.read_exact_at(&mut image, range.0).map_err(Error::system(fail()))?;
        Vdso::parse(&image, range.0).ok_or_else(|| {
            Error::Unusable(format!(
                "the vDSO of process {pid} is not a 64-bit library that names its functions"
            ))
        })
    }

    /// A function of at least `size` bytes, by its name without the prefix.
    pub(super) fn function(&self, name: &str, size: u64) -> Result<&Symbol> {
        let symbol = self.symbols.iter().find(|symbol| symbol.plain() == name);
        let symbol = symbol.ok_or_else(|| Error::Unusable(format!("this kernel's vDSO has no `{name}`")))?;
        if symbol.size < size {
            let text = format!(
                "`{name}` of this kernel's vDSO has {} bytes, too few for a jump of {size}",
                symbol.size
            );
            return Err(Error::Unusable(text));
        }
        Ok(symbol)
    }

    fn parse(image: &[u8], base: u64) -> Option<Vdso> {
        const ELF64_LITTLE: [u8; 6] = [0x7f, b'E', b'L', b'F', 2, 1];
        let image = Image(image);
        if image.0.get(..6)? != ELF64_LITTLE {
            return None;
        }
        let symbols = image.symbols()?;
        let syscall = image.0.windows(2).position(|pair| pair == [0x0f, 0x05])?;
        Some(Vdso {
            base,
            symbols,
            syscall: base.wrapping_add(syscall as u64),
        })
    }
}

impl Symbol {
    /// `clock_gettime` for both of its names.
    pub(super) fn plain(&self) -> &str {
        self.name.strip_prefix("__vdso_").unwrap_or(&self.name)
    }
}

/// First and last address of a mapping, by the name at the end of its line.
pub(super) fn mapping(maps: &str, name: &str) -> Option<(u64, u64)> {
    let line = maps.lines().find(|line| line.ends_with(name))?;
    let (first, last) = line.split(' ').next()?.split_once('-')?;
    let (first, last) = (u64::from_str_radix(first, 16).ok()?, u64::from_str_radix(last, 16).ok()?);
    (last > first).then_some((first, last))
}

/// An ELF file's bytes. Its addresses are relative to the base, and the vDSO's are offsets as well.
struct Image<'a>(&'a [u8]);

impl Image<'_> {
    fn bytes<const N: usize>(&self, at: u64) -> Option<[u8; N]> {
        let at = usize::try_from(at).ok()?;
        self.0.get(at..at.checked_add(N)?)?.try_into().ok()
    }

    fn u16(&self, at: u64) -> Option<u16> {
        self.bytes(at).map(u16::from_le_bytes)
    }

    fn u32(&self, at: u64) -> Option<u32> {
        self.bytes(at).map(u32::from_le_bytes)
    }

    fn u64(&self, at: u64) -> Option<u64> {
        self.bytes(at).map(u64::from_le_bytes)
    }

    fn text(&self, at: u64) -> Option<String> {
        let rest = self.0.get(usize::try_from(at).ok()?..)?;
        let end = rest.iter().position(|byte| *byte == 0)?;
        Some(String::from_utf8_lossy(&rest[..end]).into_owned())
    }

    /// The value of a tag in the dynamic section.
    fn dynamic(&self, tag: u64) -> Option<u64> {
        const PT_DYNAMIC: u32 = 2;
        let (headers, size, n) = (self.u64(32)?, u64::from(self.u16(54)?), u64::from(self.u16(56)?));
        let header = (0..n)
            .map(|number| headers.wrapping_add(number * size))
            .find(|header| self.u32(*header) == Some(PT_DYNAMIC))?;
        let (section, bytes) = (self.u64(header + 16)?, self.u64(header + 40)?);
        let entry = (0..bytes / 16)
            .map(|number| section.wrapping_add(number * 16))
            .find(|entry| self.u64(*entry) == Some(tag))?;
        self.u64(entry + 8)
    }

    /// Every defined symbol.
    fn symbols(&self) -> Option<Vec<Symbol>> {
        const DT_HASH: u64 = 4;
        const DT_STRTAB: u64 = 5;
        const DT_SYMTAB: u64 = 6;
        const ENTRY_BYTES: u64 = 24;
        let (table, names) = (self.dynamic(DT_SYMTAB)?, self.dynamic(DT_STRTAB)?);
        // The hash table says how many there are; a vDSO with the GNU one only has its names right behind its symbols.
        let n = match self.dynamic(DT_HASH) {
            Some(hash) => u64::from(self.u32(hash + 4)?),
            None => names.checked_sub(table)? / ENTRY_BYTES,
        };
        let mut symbols = Vec::new();
        for entry in (0..n).map(|number| table.wrapping_add(number * ENTRY_BYTES)) {
            let defined = self.u16(entry + 6)? != 0;
            if defined {
                symbols.push(Symbol {
                    name: self.text(names.wrapping_add(u64::from(self.u32(entry)?)))?,
                    value_at: entry + 8,
                    value: self.u64(entry + 8)?,
                    size: self.u64(entry + 16)?,
                });
            }
        }
        Some(symbols)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_clock_functions_of_this_very_kernel() {
        let vdso = Vdso::read(std::process::id().cast_signed()).unwrap();
        for name in ["clock_gettime", "gettimeofday", "time"] {
            let both: Vec<&Symbol> = vdso.symbols.iter().filter(|symbol| symbol.plain() == name).collect();
            assert_eq!(both.len(), 2, "{name} and its twin: {:?}", vdso.symbols);
            assert_eq!(both[0].value, both[1].value);
            assert_eq!(vdso.function(name, 16).unwrap().value, both[0].value);
        }
        let said = |name, size| vdso.function(name, size).unwrap_err().to_string();
        assert_eq!(said("no_such_function", 1), "this kernel's vDSO has no `no_such_function`");
        assert!(said("time", 4096).contains("too few for a jump of 4096"));
    }

    #[test]
    fn no_prefix_and_no_rubbish_is_taken_for_a_vdso() {
        let range = mapping(&std::fs::read_to_string("/proc/self/maps").unwrap(), "[vdso]").unwrap();
        let mut image = vec![0; usize::try_from(range.1 - range.0).unwrap()];
        File::open("/proc/self/mem").unwrap().read_exact_at(&mut image, range.0).unwrap();
        assert!(Vdso::parse(&image, range.0).is_some());
        for length in [0, 5, 40, 64, 200, 500] {
            assert!(Vdso::parse(&image[..length], range.0).is_none(), "{length} bytes");
        }
        for byte in 0..1000 {
            let mut damaged = image.clone();
            damaged[byte] ^= 0xff;
            // Whatever it says, it must not panic.
            let _ = Vdso::parse(&damaged, range.0);
        }
        image[4] = 1;
        assert!(Vdso::parse(&image, range.0).is_none(), "a 32-bit one");
    }

    #[test]
    fn reads_a_line_of_the_kernels_maps() {
        let maps = "7ffd6000-7ffd8000 r--p 00000000 00:00 0    [vvar]\n7ffd8000-7ffda000 r-xp 00000000 00:00 0    [vdso]\n";
        assert_eq!(mapping(maps, "[vdso]"), Some((0x7ffd_8000, 0x7ffd_a000)));
        assert_eq!(mapping(maps, "[stack]"), None);
        assert_eq!(mapping("8-7 x [vdso]", "[vdso]"), None);
    }
}
