// What comes of looking for a server.

/**
 * `url` is where it is, and may hold a password; `says` is for people to read and holds none.
 *
 * @typedef {{ readonly url: string, readonly says: string }} Started
 * @typedef {{ readonly reason: string, readonly remedy: string }} Missing
 * @typedef {Started | Missing} Outcome
 */

/**
 * What a person would run to install something.
 *
 * @param {{ readonly debian: string, readonly brew: string }} packages
 */
export const installLine = ({ brew, debian }) =>
  process.platform === "darwin"
    ? `brew install ${brew}`
    : `sudo apt-get install -y --no-install-recommends ${debian}`
