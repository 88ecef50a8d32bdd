/** MD4 (RFC 1320), which NTLM hashes passwords with and OpenSSL 3 does not have any more. */
export async function md4(bytes: Uint8Array): Promise<Buffer> {
  // Loaded by those only who use NTLM.
  const { md4: hex } = await import('hash-wasm');
  return Buffer.from(await hex(bytes), 'hex');
}
