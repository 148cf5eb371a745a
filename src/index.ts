/**
 * Everything that a front end may import too. Implementation modules have entry points of their own:
 * `effect-security/jwt/JwtKeysJose`, `effect-security/user/PasswordHasherArgon2`,
 * `effect-security/user/PasswordHasherScrypt`.
 *
 * @since 0.1.0
 */
export * as Guard from "./Guard.js"
export * as CookiePolicy from "./http/CookiePolicy.js"
export * as Credential from "./http/Credential.js"
export * as CrossSite from "./http/CrossSite.js"
export * as Exclusion from "./http/Exclusion.js"
export * as RequestBody from "./http/RequestBody.js"
export * as ResponseJar from "./http/ResponseJar.js"
export * as Jwt from "./jwt/Jwt.js"
export * as JwtAuth from "./jwt/JwtAuth.js"
export * as JwtCookieAuth from "./jwt/JwtCookieAuth.js"
export * as JwtKeys from "./jwt/JwtKeys.js"
export * as OAuth2PasswordBearer from "./jwt/OAuth2PasswordBearer.js"
export * as Permission from "./Permission.js"
export * as Scopes from "./Scopes.js"
export * as SecurityConfig from "./SecurityConfig.js"
export * as SecurityError from "./SecurityError.js"
export * as SecurityEvents from "./SecurityEvents.js"
export * as SecurityMetrics from "./SecurityMetrics.js"
export * as Session from "./session/Session.js"
export * as SessionAuth from "./session/SessionAuth.js"
export * as SessionEpoch from "./session/SessionEpoch.js"
export * as SessionStore from "./session/SessionStore.js"
export * as SessionStoreKeyValue from "./session/SessionStoreKeyValue.js"
export * as SessionToken from "./session/SessionToken.js"
export * as SessionVersions from "./session/SessionVersions.js"
export * as Credentials from "./user/Credentials.js"
export * as Login from "./user/Login.js"
export * as Password from "./user/Password.js"
export * as PasswordHasher from "./user/PasswordHasher.js"
export * as UserRepository from "./user/UserRepository.js"
