// An identity provider on loopback (npm's oidc-provider). Its access tokens are JSON Web Tokens that Dovecot checks by
// itself: HS256 with the key in the file KEY, header `typ: JWT`, claim `email` = the mailbox.
// Version 8: from 9 on it needs more than Node 18, which Debian 12 and Ubuntu 24.04 have; PKCE fails there.
// Its sign-in page takes any name and password; the name is the address. POST /control changes `state`, GET reads it.
import { Provider } from 'oidc-provider';
import { SignJWT, importJWK, jwtVerify } from 'jose';
import crypto from 'node:crypto';
import fs from 'node:fs';

const { PORT, KEY } = process.env;
const issuer = `http://127.0.0.1:${PORT}`;
const key = crypto.createSecretKey(Buffer.from(fs.readFileSync(KEY, 'utf8').trim(), 'base64'));
const JWT_BEARER = 'urn:ietf:params:oauth:grant-type:jwt-bearer';
const fresh = () => ({
  ttl: 3600, // seconds an access token is good for
  rotate: true, // each refresh answers with a new refresh token, and the old one ends
  offline: true, // refresh tokens are issued
  fail: null, // {count, status, body, headers}: so many token requests are refused so
  lose: 0, // so many token requests are answered, and the answer is lost on the way
  withhold: [], // members of the token answer that are left out
  scope: null, // what the token answer says was granted
  mailboxes: {}, // signer -> the mailbox that the access token opens (a shared mailbox)
  claims: {}, // signer -> more claims of the ID token and of userinfo (groups, name)
  applicationMailbox: '', // the mailbox that client credentials open
  serviceKey: null, // JWK of the service account's public key
  requests: [], // "POST /token refresh_token 200", in order
});
let state = fresh();
const grants = new Set();
const mailboxOf = (name) => state.mailboxes[name] ?? name;

const everywhere = ['authorization_code', 'refresh_token', 'client_credentials', 'urn:ietf:params:oauth:grant-type:device_code'];
const client = (client_id, client_secret, grant_types) => ({
  client_id, client_secret, grant_types, redirect_uris: ['http://127.0.0.1/callback'], token_endpoint_auth_method: 'client_secret_post',
});
const provider = new Provider(issuer, {
  clients: [client('prx', 's3cret', everywhere), client('people', 'p3ople', ['authorization_code', 'refresh_token'])],
  scopes: ['openid', 'offline_access', 'mail'],
  claims: { openid: ['sub'], email: ['email', 'email_verified'], profile: ['name', 'groups', 'hasgroups'] },
  conformIdTokenClaims: false,
  clientAuthMethods: ['client_secret_post', 'client_secret_basic', 'none'],
  issueRefreshToken: async () => state.offline,
  rotateRefreshToken: () => state.rotate,
  findAccount: async (ctx, id) => ({
    accountId: id,
    claims: async () => ({ sub: id, email: id, email_verified: true, name: id, ...state.claims[id] }),
  }),
  extraTokenClaims: async (ctx, token) => ({
    email: token.accountId ? mailboxOf(token.accountId) : state.applicationMailbox,
    nbf: Math.floor(Date.now() / 1000) - 1,
  }),
  ttl: { AccessToken: () => state.ttl, ClientCredentials: () => state.ttl, RefreshToken: 3600, Interaction: 600, Session: 3600, Grant: 3600, DeviceCode: 600 },
  features: {
    devInteractions: { enabled: true },
    deviceFlow: { enabled: true },
    clientCredentials: { enabled: true },
    revocation: { enabled: true },
    resourceIndicators: {
      enabled: true, defaultResource: (ctx) => (ctx.oidc.client?.clientId === 'prx' ? 'urn:mail' : undefined), useGrantedResource: () => true,
      getResourceServerInfo: () => ({ scope: 'mail', audience: 'mail', accessTokenTTL: state.ttl, accessTokenFormat: 'jwt', jwt: { sign: { alg: 'HS256', key } } }),
    },
  },
  formats: { customizers: { jwt: async (ctx, token, jwt) => { jwt.header = { ...(jwt.header || {}), typ: 'JWT' }; return jwt; } } },
  pkce: { required: () => true },
});
// A test's site listens on whatever port is free (RFC 8252, 7.3).
provider.Client.prototype.redirectUriAllowed = (uri) => ['127.0.0.1', 'localhost'].includes(new URL(uri).hostname);
provider.on('grant.success', (ctx) => ctx.oidc.entities.Grant && grants.add(ctx.oidc.entities.Grant.jti));

async function bodyOf(ctx) {
  const chunks = [];
  for await (const chunk of ctx.req) chunks.push(chunk);
  return Buffer.concat(chunks).toString();
}

async function revokeAll() {
  for (const id of grants) {
    await provider.RefreshToken.revokeByGrantId(id);
    await provider.Grant.adapter.destroy(id);
  }
  grants.clear();
}

async function control(ctx) {
  if (ctx.method === 'POST') {
    const { reset, revoke, ...more } = JSON.parse(await bodyOf(ctx));
    if (reset) state = fresh();
    if (revoke) await revokeAll();
    Object.assign(state, more);
  }
  ctx.body = state;
}

// A service account's own signature is its credential (RFC 7523, 2.1): there is no client to authenticate.
async function serviceAccount(ctx, params) {
  try {
    const { payload } = await jwtVerify(params.get('assertion'), await importJWK(state.serviceKey, 'RS256'), { audience: `${issuer}/token` });
    const claims = { email: payload.sub, sub: payload.sub, scope: payload.scope };
    const token = new SignJWT(claims).setProtectedHeader({ alg: 'HS256', typ: 'JWT' }).setIssuedAt().setNotBefore('1 second ago');
    ctx.body = { access_token: await token.setExpirationTime(`${state.ttl} seconds`).sign(key), token_type: 'Bearer', expires_in: state.ttl };
  } catch (error) {
    ctx.status = 400;
    ctx.body = { error: 'invalid_grant', error_description: String(error.message) };
  }
}

async function token(ctx, next) {
  const body = await bodyOf(ctx);
  const params = new URLSearchParams(body);
  ctx.req.body = body;
  if (state.fail?.count > 0) {
    state.fail.count -= 1;
    ctx.status = state.fail.status;
    ctx.set(state.fail.headers ?? {});
    ctx.body = state.fail.body ?? {};
  } else if (params.get('grant_type') === JWT_BEARER) await serviceAccount(ctx, params);
  else await next();
  if (ctx.status === 200 && ctx.body?.access_token) {
    if (state.scope !== null) ctx.body.scope = state.scope;
    for (const name of state.withhold) delete ctx.body[name];
  }
  state.requests.push(`POST /token ${params.get('grant_type')} ${ctx.status}`);
  if (ctx.status === 200 && state.lose > 0) {
    state.lose -= 1;
    ctx.req.socket.destroy();
  }
}

provider.use(async (ctx, next) => {
  if (ctx.path === '/control') return control(ctx);
  if (ctx.path === '/token' && ctx.method === 'POST') return token(ctx, next);
  await next();
  state.requests.push(`${ctx.method} ${ctx.path.replace(/(\/(interaction|auth|device))\/.*/, '$1')} ${ctx.status}`);
});
provider.listen(Number(PORT), '127.0.0.1', () => console.log('up'));
