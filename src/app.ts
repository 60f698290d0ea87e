// The HTTP app: who may ask, what each request carries, the table of routes, and how errors look. index.ts serves it.
import { randomBytes } from 'node:crypto'
import { Hono } from 'hono'
import { cors } from 'hono/cors'
import { ApiError, asApiError, envelope, internal } from './errors.ts'
import { isOwnHost } from './hosts.ts'
import { keyring, OPEN_PATHS } from './routes/access.ts'
import { templateOf } from './routes/openapi.ts'
import { type Ask, checkServing, type House, marksOf, type Variables } from './routes/request.ts'
import { storeOf } from './routes/responses/stored.ts'
import { ROUTES } from './routes/table.ts'
import { Visits } from './routes/visits.ts'
import type { AppSettings, Lifecycle, Log } from './served.ts'
import { SSE_HEADERS } from './stream/sse.ts'

type App = Hono<{ Variables: Variables }>

/** The path below the root path, so that routes answer with and without it. */
const pathBelow = (rootPath: string) => {
  const root = `/${rootPath}`.replace(/\/+/g, '/').replace(/\/$/, '')
  return (request: Request): string => {
    const { pathname } = new URL(request.url)
    const below =
      root !== '' && pathname.startsWith(`${root}/`) ? pathname.slice(root.length) : pathname
    return below.length > 1 ? below.replace(/\/+$/, '') || '/' : below
  }
}

const errorBodyOf = (ask: Ask) => ROUTES.find(({ path }) => path === ask.req.path)?.errorBody

/** An error as the API of its path tells errors. */
const errorResponse = (error: ApiError, ask: Ask): Response => {
  const { status, headers } = error
  const body = errorBodyOf(ask)?.(error, ask.get('requestId')) ?? envelope(error)
  return Response.json(body, { status, headers })
}

/** An id to find a request by; the caller's own where it is one. */
const requestIdOf = (request: Request): string => {
  const given = request.headers.get('x-request-id')
  return given && /^[\w.:-]{1,128}$/.test(given) ? given : `req_${randomBytes(12).toString('hex')}`
}

const identify = (app: App, log: Log, visits: Visits): void => {
  app.use(async (ask, next) => {
    const id = requestIdOf(ask.req.raw)
    const begun = performance.now()
    ask.set('requestId', id)
    ask.set('tenant', 0)
    const visit = visits.begin(ask.req.path, ask.req.method)
    ask.set('visit', visit)
    await next()
    // A stream tells of its end itself.
    if (ask.res.headers.get('content-type') !== SSE_HEADERS['content-type'])
      visit.end(ask.res.status)
    ask.res.headers.set('x-request-id', id)
    // Anthropic's clients read it there.
    if (errorBodyOf(ask)) ask.res.headers.set('request-id', id)
    log.debug('request', {
      ...marksOf(ask),
      method: ask.req.method,
      path: ask.req.path,
      status: ask.res.status,
      milliseconds: Math.round(performance.now() - begun),
    })
  })
}

/** Refuses requests whose Host header is somebody else's. */
const guardHosts = (app: App, allowed: string[] | undefined): void => {
  if (allowed === undefined) return
  app.use(async (ask, next) => {
    if (!isOwnHost(ask.req.header('host') ?? '', allowed))
      throw new ApiError(
        403,
        'This server answers on this machine only; name further hosts with --allowed-hosts',
        { code: 'host_not_allowed' }
      )
    await next()
  })
}

const allowOrigins = (app: App, origins: string[]): void => {
  if (origins.length === 0) return
  app.use(
    cors({
      origin: origins.includes('*') ? '*' : origins,
      allowMethods: ['GET', 'POST', 'DELETE', 'OPTIONS'],
      exposeHeaders: ['x-request-id'],
      maxAge: 600,
    })
  )
}

const guard = (app: App, keys: string[]): void => {
  const tenantOf = keyring(keys)
  app.use(async (ask, next) => {
    const open = ask.req.method === 'OPTIONS' || OPEN_PATHS.has(ask.req.path)
    if (!open) ask.set('tenant', tenantOf(ask.req.raw))
    await next()
  })
}

/** What a path takes, for those who ask otherwise. */
const methodsOf = (path: string): string[] => {
  const methods = ROUTES.filter((route) => route.path === path).map(({ method }) => method)
  return methods.flatMap((method) => (method === 'GET' ? ['GET', 'HEAD'] : [method]))
}

const register = (app: App, house: House): void => {
  for (const { method, path, answer, always } of ROUTES) {
    const handler = templateOf(path)
    app.on(method, path, async (ask) => {
      ask.get('visit').handler = handler
      if (!always) checkServing(house)
      return answer(house, ask)
    })
  }
  for (const path of new Set(ROUTES.map((route) => route.path))) {
    const methods = methodsOf(path)
    app.all(path, () => {
      throw new ApiError(
        405,
        `This path takes ${methods.filter((one) => one !== 'HEAD').join(' and ')} only`,
        { code: 'method_not_allowed', headers: { allow: methods.join(', ') } }
      )
    })
  }
}

/** The app over models that may still be loading; settings are read once, the lifecycles on each request. */
export const createApp = (
  given: Lifecycle | Lifecycle[],
  settings: AppSettings,
  log: Log,
  hold: House['hold'] = () => {}
): App => {
  const lifecycles = [given].flat()
  const app: App = new Hono<{ Variables: Variables }>({ getPath: pathBelow(settings.rootPath) })
  const visits = new Visits()
  identify(app, log, visits)
  guardHosts(app, settings.allowedHosts)
  allowOrigins(app, settings.allowedOrigins)
  guard(app, settings.apiKeys)
  register(app, { lifecycles, settings, log, hold, store: storeOf(settings), visits })
  app.notFound((ask) =>
    errorResponse(
      new ApiError(404, `Unknown path: ${ask.req.method} ${ask.req.path}`, { code: 'not_found' }),
      ask
    )
  )
  app.onError((error, ask) => {
    const known = asApiError(error)
    if (!known)
      log.error('request failed', {
        ...marksOf(ask),
        error: error.stack ?? String(error),
      })
    return errorResponse(known ?? internal(), ask)
  })
  return app
}
