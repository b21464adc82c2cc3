package kmsmigrate

import "context"

type backgroundKey struct{}

// Background marks the work under the returned context as one that can wait: sweeps and rewrites, not a user's request.
// Endpoints give such calls what foreground traffic leaves, and events carry the mark.
func Background(ctx context.Context) context.Context {
	return context.WithValue(ctx, backgroundKey{}, true)
}

// IsBackground reports whether ctx was made by [Background], or is below one that was.
func IsBackground(ctx context.Context) bool {
	marked, _ := ctx.Value(backgroundKey{}).(bool)
	return marked
}
