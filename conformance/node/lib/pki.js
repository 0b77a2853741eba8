'use strict';
// Authorities and certificates of a scenario's own, made by openssl.

const { execFileSync } = require('node:child_process');
const fs = require('node:fs');
const os = require('node:os');
const path = require('node:path');

const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'pki-'));
const EC = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes'];
let count = 0;

const openssl = (...args) => execFileSync('openssl', args, { stdio: ['ignore', 'pipe', 'pipe'] });
const file = (name) => path.join(folder, name);

/** A certificate with its key: `cert` and `key` are PEM, `chain` is what a device shows. */
function read(base, above) {
  const cert = fs.readFileSync(`${base}.pem`, 'utf8');
  // Up to the last below the root, which the other side has.
  const chain = cert + (above?.parent ? above.chain : '');
  return { base, cert, key: fs.readFileSync(`${base}.key`, 'utf8'), chain, parent: above };
}

/** An authority that signs itself. */
function root(name) {
  const base = file(`${(count += 1)}`);
  openssl('req', '-x509', ...EC, '-keyout', `${base}.key`, '-out', `${base}.pem`, '-subj', `/CN=${name}`, '-days', '2',
    '-addext', 'keyUsage=critical,keyCertSign,cRLSign');
  return read(base);
}

/** A certificate below `above`. `extensions`: of openssl's configuration, none for version 1. */
function issue(above, name, extensions, days = 1) {
  const base = file(`${(count += 1)}`);
  openssl('req', '-new', ...EC, '-keyout', `${base}.key`, '-out', `${base}.csr`, '-subj', `/CN=${name}`);
  const more = [];
  if (extensions.length > 0) {
    fs.writeFileSync(`${base}.ext`, extensions.join('\n'));
    more.push('-extfile', `${base}.ext`);
  }
  openssl('x509', '-req', '-in', `${base}.csr`, '-CA', `${above.base}.pem`, '-CAkey', `${above.base}.key`, '-CAcreateserial',
    '-out', `${base}.pem`, '-days', `${days}`, ...more);
  return read(base, above);
}

/** An authority below another. */
const intermediate = (above, name) => issue(above, name, ['basicConstraints=critical,CA:TRUE', 'keyUsage=critical,keyCertSign,cRLSign']);

/** A device's certificate, with the intermediates that lead to the root. */
const leaf = (above, name, days) => issue(above, name, ['basicConstraints=CA:FALSE', 'extendedKeyUsage=clientAuth'], days);

/** The same of version 1, as tools make it that write no extensions. */
const plainLeaf = (above, name) => issue(above, name, []);

/** A device's certificate that signs itself, as tools make it that write no extensions. */
function selfSigned(name) {
  const base = file(`${(count += 1)}`);
  openssl('req', '-new', ...EC, '-keyout', `${base}.key`, '-out', `${base}.csr`, '-subj', `/CN=${name}`);
  openssl('x509', '-req', '-in', `${base}.csr`, '-signkey', `${base}.key`, '-out', `${base}.pem`, '-days', '1');
  return read(base);
}

/** A certificate signing request with its key: `csr` is base64 of DER, `pem` the same as PEM. */
function request(name, newKey = EC) {
  const base = file(`${(count += 1)}`);
  openssl('req', '-new', ...newKey, '-keyout', `${base}.key`, '-out', `${base}.csr`, '-subj', `/CN=${name}`);
  const pem = fs.readFileSync(`${base}.csr`, 'utf8');
  const csr = pem.split('\n').filter((line) => line && !line.startsWith('-----')).join('');
  return { csr, pem, key: fs.readFileSync(`${base}.key`, 'utf8') };
}

/** The serial numbers in a revocation list. */
function revokedIn(crl) {
  const text = execFileSync('openssl', ['crl', '-noout', '-text'], { input: crl, encoding: 'utf8' });
  return [...text.matchAll(/Serial Number: ([0-9A-F]+)/g)].map(([, serial]) => serial);
}

module.exports = { request, revokedIn, root, intermediate, leaf, plainLeaf, selfSigned };
