import { statfs } from 'node:fs/promises';

/** Those on disks and in memory of this machine, by the numbers of statfs(2). */
const LOCAL_TYPES: ReadonlySet<number> = new Set([
  0xef53, // ext2, ext3, ext4
  0x58465342, // XFS
  0x9123683e, // Btrfs
  0x2fc12fc1, // ZFS
  0xca451a4e, // bcachefs
  0xf2f52010, // F2FS
  0x01021994, // tmpfs
  0x794c7630, // overlayfs, as of containers
]);

/**
 * Whether a file is on a file system that no other machine and no other process can hold up.
 *
 * False where that cannot be known, which is everywhere but on Linux: other systems give no numbers
 * that stay the same.
 */
export async function isOnLocalFileSystem(path: string): Promise<boolean> {
  if (process.platform !== 'linux') return false;
  try {
    return LOCAL_TYPES.has((await statfs(path)).type);
  } catch {
    return false;
  }
}
