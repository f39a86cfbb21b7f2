"use strict";
const crypto = require("crypto");
const readline = require("readline");
readline.createInterface({ input: process.stdin }).on("line", () => {
  process.stdout.write(crypto.randomBytes(16).toString("hex") + "\n");
});
