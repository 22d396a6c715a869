//! What of one file is not durable: which sectors were written, what stood there before, and how long the file was.
//!
//! Writes go to the backing file at once; here is kept what is needed to take them back. An append costs no bytes, since nothing stood there. Of a
//! sector that was written several times a power cut leaves the last durable content or the newest, never one between: fewer states than a disk can
//! make, and each of them legal.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use super::dice::Dice;
use super::rules::Rules;

/// Bytes that a disk writes as one (the smallest unit of any disk sold; disks with 4 KiB sectors tear less).
pub(super) const SECTOR: u64 = 512;
/// Bytes whose old content is kept together; also a block of ext4.
pub(super) const PAGE: u64 = 4096;

/// A page of which something is not durable, or which a truncation that is not durable has cut off.
#[derive(Clone, Debug)]
struct Page {
    /// Its durable content; `None` if that is zeros.
    old: Option<Box<[u8]>>,
    /// One bit per sector that was written.
    written: u8,
    /// How far each sector was written, in bytes from the page's begin: a file that has it is at least so long.
    ends: [u64; 8],
    /// Sequences of the first and the last of these writes.
    first: u64,
    last: u64,
    /// A failed fsync has marked it clean: reads show it, the disk will never have it.
    dropped: bool,
}

/// What of a file is not durable.
#[derive(Clone, Debug)]
pub(super) struct Unsynced {
    durable_length: u64,
    /// The shortest it has been since: what lies behind was cut off.
    lowest_length: u64,
    /// Its length by resizes alone, without what writes added.
    resized_length: u64,
    /// Sequences of the first and the last resize.
    resized: Option<(u64, u64)>,
    pages: BTreeMap<u64, Page>,
}

/// What a power cut decides about a file before its sectors are drawn.
pub(super) struct Verdict {
    /// Whether its resizes survive; `None` leaves it to chance.
    pub(super) resizes: Option<bool>,
    /// Writes before this sequence are on the disk whatever happens.
    pub(super) bytes_before: u64,
    /// The first step of an ordered journal that is lost: blocks added after it cannot have been.
    pub(super) journal_ends: u64,
    pub(super) rules: Rules,
}

/// What has to be done to a backing file to show what a power cut left.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Image {
    pub(super) writes: Vec<(u64, Vec<u8>)>,
    pub(super) length: u64,
    pub(super) sectors_lost: u64,
}

impl Unsynced {
    pub(super) fn new(length: u64) -> Unsynced {
        Unsynced {
            durable_length: length,
            lowest_length: length,
            resized_length: length,
            resized: None,
            pages: BTreeMap::new(),
        }
    }

    /// How much of the file is sure to stay.
    pub(super) fn durable_length(&self) -> u64 {
        self.durable_length.min(self.lowest_length)
    }

    /// Whether these bytes are the same now and after a power cut.
    pub(super) fn is_clean(&self, offset: u64, count: u64) -> bool {
        let pages = offset / PAGE..(offset + count).div_ceil(PAGE);
        offset + count <= self.durable_length() && self.pages.range(pages).next().is_none()
    }

    /// Bytes of old content that are kept.
    pub(super) fn kept_bytes(&self) -> usize {
        self.pages.values().filter_map(|page| page.old.as_ref()).map(|old| old.len()).sum()
    }

    /// How many sectors were written.
    pub(super) fn written_sectors(&self) -> u64 {
        self.pages.values().map(|page| u64::from(page.written.count_ones())).sum()
    }

    /// Sequences of the first and the last resize that are not durable.
    pub(super) fn resized(&self) -> Option<(u64, u64)> {
        self.resized
    }

    /// Whether a reader could not find the bytes again without a change of the file's length.
    pub(super) fn length_differs(&self, length: u64) -> bool {
        self.resized.is_some() || length != self.durable_length
    }

    /// To be called before bytes are written; returns how many bytes of old content were saved.
    pub(super) fn before_write(&mut self, file: &File, offset: u64, count: u64, sequence: u64) -> io::Result<usize> {
        let end = offset + count;
        let mut saved = 0;
        for number in offset / PAGE..end.div_ceil(PAGE) {
            saved += self.save(file, number)?;
            let page = self.pages.get_mut(&number).expect("it was just saved");
            let start = number * PAGE;
            let (from, to) = (offset.max(start) - start, end.min(start + PAGE) - start);
            if page.written == 0 {
                page.first = sequence;
            }
            page.written |= mask(from / SECTOR, to.div_ceil(SECTOR));
            for sector in from / SECTOR..to.div_ceil(SECTOR) {
                let end = &mut page.ends[usize::try_from(sector).expect("one of eight")];
                *end = (*end).max(to.min((sector + 1) * SECTOR));
            }
            page.last = sequence;
            page.dropped = false;
        }
        Ok(saved)
    }

    /// To be called before the file is given another length.
    pub(super) fn before_resize(&mut self, file: &File, from: u64, to: u64, sequence: u64) -> io::Result<()> {
        if to < from {
            for number in to / PAGE..from.min(self.durable_length).div_ceil(PAGE) {
                self.save(file, number)?;
            }
            for (number, page) in self.pages.range_mut(to / PAGE..) {
                let first_gone = to.saturating_sub(number * PAGE).div_ceil(SECTOR);
                page.written &= !mask(first_gone.min(8), 8);
                let left = to.saturating_sub(number * PAGE);
                page.ends.iter_mut().for_each(|end| *end = (*end).min(left));
            }
        }
        self.lowest_length = self.lowest_length.min(to);
        self.resized_length = to;
        let first = self.resized.map_or(sequence, |(first, _)| first);
        self.resized = Some((first, sequence));
        Ok(())
    }

    fn save(&mut self, file: &File, number: u64) -> io::Result<usize> {
        if self.pages.contains_key(&number) {
            return Ok(0);
        }
        let start = number * PAGE;
        let mut old = None;
        let mut saved = 0;
        if start < self.durable_length {
            let mut bytes = vec![0; usize::try_from(PAGE.min(self.durable_length - start)).expect("at most a page")];
            file.read_exact_at(&mut bytes, start)?;
            if bytes.iter().any(|&byte| byte != 0) {
                saved = bytes.len();
                old = Some(bytes.into_boxed_slice());
            }
        }
        let page = Page {
            old,
            written: 0,
            ends: [0; 8],
            first: u64::MAX,
            last: 0,
            dropped: false,
        };
        self.pages.insert(number, page);
        Ok(saved)
    }

    /// A successful fsync: all is durable but for pages that a failed one dropped. `None` if nothing is left.
    pub(super) fn commit(mut self, length: u64) -> Option<Unsynced> {
        let lowest = self.lowest_length;
        self.pages.retain(|_, page| page.dropped && page.written != 0);
        for (number, page) in &mut self.pages {
            page.cut_old(lowest.saturating_sub(number * PAGE));
        }
        self.settle_length(length);
        (!self.pages.is_empty()).then_some(self)
    }

    /// A failed fsync: every written page is marked clean though it is not on the disk (Rebello et al., USENIX ATC 2020).
    /// `false` if there is no such page.
    pub(super) fn drop_pages(&mut self) -> bool {
        let mut any = false;
        for page in self.pages.values_mut().filter(|page| page.written != 0 && !page.dropped) {
            page.dropped = true;
            any = true;
        }
        any
    }

    /// Takes the dropped pages away that this range touches, and says what the disk has in their place: a read that comes as far as the disk
    /// finds them evicted from the cache.
    pub(super) fn evict_dropped(&mut self, offset: u64, count: u64, length: u64) -> Vec<(u64, Vec<u8>)> {
        let range = offset / PAGE..(offset + count).div_ceil(PAGE);
        let dropped: Vec<u64> = self
            .pages
            .range(range)
            .filter(|(_, page)| page.dropped)
            .map(|(number, _)| *number)
            .collect();
        let mut on_disk = Vec::new();
        for number in dropped {
            let Some(page) = self.pages.remove(&number) else { continue };
            let start = number * PAGE;
            let count = length.saturating_sub(start).min(PAGE);
            // What a truncation has cut off since is not on the disk either.
            let mut bytes = page.old_bytes(0, count);
            let kept = usize::try_from(self.lowest_length.saturating_sub(start).min(count)).expect("within a page");
            bytes[kept..].fill(0);
            on_disk.push((start, bytes));
        }
        on_disk
    }

    /// A commit of the journal on behalf of something else: resizes are durable, and the bytes written before `bytes_before`. `None` if nothing is left.
    pub(super) fn commit_journal(mut self, length: u64, bytes_before: u64) -> Option<Unsynced> {
        let mut durable = self.durable_length;
        if self.resized.is_some() {
            durable = self.resized_length;
            let lowest = self.lowest_length;
            for (number, page) in &mut self.pages {
                page.cut_old(lowest.saturating_sub(number * PAGE));
            }
        }
        self.pages.retain(|number, page| {
            let on_disk = page.written == 0 || (page.first < bytes_before && !page.dropped);
            if on_disk && page.written != 0 {
                durable = durable.max(number * PAGE + page.end_of(page.written));
            }
            !on_disk
        });
        self.settle_length(durable.min(length));
        (!self.pages.is_empty() || self.durable_length != length).then_some(self)
    }

    fn settle_length(&mut self, length: u64) {
        self.durable_length = length;
        self.lowest_length = length;
        self.resized_length = length;
        self.resized = None;
    }

    /// The last write to a page that is on the disk because it was written before `bytes_before`.
    pub(super) fn last_write_of_pages_before(&self, bytes_before: u64) -> Option<u64> {
        let pages = self
            .pages
            .values()
            .filter(|page| page.first < bytes_before && !page.dropped && page.written != 0);
        pages.map(|page| page.last).max()
    }

    /// What a power cut leaves of a file that is `length` bytes long now.
    pub(super) fn lose(&self, length: u64, verdict: &Verdict, dice: &mut Dice) -> Image {
        let resizes = self.resized.is_some() && verdict.resizes.unwrap_or_else(|| dice.keeps());
        if self.lowest_length < self.durable_length && !resizes {
            return self.revert();
        }
        let base = if resizes { self.resized_length } else { self.durable_length };
        let mut image = Image {
            length: base,
            ..Image::default()
        };
        for (&number, page) in &self.pages {
            let (kept, lengthens) = self.draw_sectors(number, page, base, verdict, dice);
            page.lose(number, kept, self.lowest_length, &mut image);
            if lengthens && kept != 0 {
                image.length = image.length.max(number * PAGE + page.end_of(kept));
            }
        }
        // A length may reach the disk before the bytes do: then the file ends in zeros.
        if verdict.rules == Rules::PosixStrict && self.durable_length < length && dice.keeps() {
            image.length = length;
        }
        image.length = image.length.min(length);
        image
    }

    /// Which of a page's written sectors survive, and whether they make the file longer where they reach behind its end.
    fn draw_sectors(&self, number: u64, page: &Page, base: u64, verdict: &Verdict, dice: &mut Dice) -> (u8, bool) {
        if page.dropped {
            return (0, false);
        }
        if page.first < verdict.bytes_before {
            return (page.written, true);
        }
        let inside = page.written & mask(0, base.saturating_sub(number * PAGE).div_ceil(SECTOR).min(8));
        let stays_inside = page.written == inside && number * PAGE + page.end_of(page.written) <= base;
        if verdict.rules == Rules::PosixStrict || stays_inside {
            return (dice.some_of(page.written), true);
        }
        // A block that is new to the file appears whole, once the journal knows of it; only what stood there before can be torn.
        if page.last < verdict.journal_ends && dice.keeps() {
            (page.written, true)
        } else {
            (dice.some_of(inside), false)
        }
    }

    /// All as it was.
    fn revert(&self) -> Image {
        let mut image = Image {
            length: self.durable_length,
            ..Image::default()
        };
        for (&number, page) in &self.pages {
            let start = number * PAGE;
            let count = self.durable_length.saturating_sub(start).min(PAGE);
            if count > 0 {
                image.writes.push((start, page.old_bytes(0, count)));
            }
            image.sectors_lost += u64::from(page.written.count_ones());
        }
        image
    }

    /// The bytes that a clean power cut would leave of `current`, the file's content now.
    pub(super) fn durable_bytes(&self, current: &[u8]) -> Vec<u8> {
        let image = if self.lowest_length < self.durable_length {
            self.revert()
        } else {
            let verdict = Verdict {
                resizes: Some(false),
                bytes_before: 0,
                journal_ends: 0,
                rules: Rules::PosixStrict,
            };
            self.lose(current.len() as u64, &verdict, &mut Dice::new(super::rules::Cut::Clean))
        };
        let mut bytes = current.to_vec();
        for (offset, old) in image.writes {
            let start = usize::try_from(offset).expect("it fits into memory");
            let end = start + old.len();
            bytes.resize(bytes.len().max(end), 0);
            bytes[start..end].copy_from_slice(&old);
        }
        bytes.resize(usize::try_from(image.length).expect("it fits into memory"), 0);
        bytes
    }
}

impl Page {
    /// How far the last of these sectors was written, in bytes from the page's begin; 0 for none.
    fn end_of(&self, sectors: u8) -> u64 {
        (0..8)
            .filter(|sector| sectors & 1 << sector != 0)
            .map(|sector| self.ends[sector])
            .max()
            .unwrap_or(0)
    }

    /// Its old content from sector `from` on, `count` bytes, with zeros behind what is known.
    fn old_bytes(&self, from: u64, count: u64) -> Vec<u8> {
        let (start, count) = (
            usize::try_from(from * SECTOR).expect("within a page"),
            usize::try_from(count).expect("within a page"),
        );
        let old = self.old.as_deref().unwrap_or_default().get(start..).unwrap_or_default();
        let mut bytes = old[..old.len().min(count)].to_vec();
        bytes.resize(count, 0);
        bytes
    }

    /// Makes everything from the `keep`-th byte on zeros.
    fn cut_old(&mut self, keep: u64) {
        if let Some(old) = &mut self.old
            && keep < old.len() as u64
        {
            let keep = usize::try_from(keep).expect("within a page");
            old[keep..].fill(0);
        }
    }

    /// Puts back the written sectors that are not kept.
    fn lose(&self, number: u64, kept: u8, lowest: u64, image: &mut Image) {
        for sector in (0..8).filter(|sector| self.written & !kept & 1 << sector != 0) {
            let start = number * PAGE + sector * SECTOR;
            let mut bytes = self.old_bytes(sector, SECTOR);
            let stood = usize::try_from(lowest.saturating_sub(start).min(SECTOR)).expect("within a sector");
            bytes[stood..].fill(0);
            image.writes.push((start, bytes));
            image.sectors_lost += 1;
        }
    }
}

/// Bits `from..to` of a byte.
fn mask(from: u64, to: u64) -> u8 {
    let ones = |n: u64| u8::try_from((1u16 << n.min(8)) - 1).expect("at most eight ones");
    ones(to) & !ones(from)
}
