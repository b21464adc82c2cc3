package shim_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"net/http"
	"time"

	"github.com/aliyun/alibaba-cloud-sdk-go/sdk"
	"github.com/aliyun/alibaba-cloud-sdk-go/sdk/auth/credentials"
	sdkerrors "github.com/aliyun/alibaba-cloud-sdk-go/sdk/errors"
	"github.com/aliyun/alibaba-cloud-sdk-go/services/kms"

	"github.com/keyhaul/keyhaul/kmsmigrate"
	"github.com/keyhaul/keyhaul/kmsmigrate/kmstest"
	"github.com/keyhaul/keyhaul/shim"
)

// An application that holds the official client, with one line added.
func ExampleTransport() {
	cloud, err := kmstest.Start(kmstest.Config{}) // in place of the real one
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = cloud.Close() }()
	oldAt, newAt := must(cloud.Region("cn-hangzhou")), must(cloud.Region("cn-shanghai"))
	must(oldAt.CreateKey(kmstest.KeySpec{Alias: "alias/app"}))
	must(newAt.CreateKey(kmstest.KeySpec{Alias: "alias/app-2026"}))

	phase := new(kmsmigrate.PhaseSwitch) // old-only: nothing changes
	transport, err := shim.NewTransport(shim.Config{
		Phase: phase,
		Old:   oldAt.GatewayConfig(), // alikms.GatewayConfig{Region: "cn-hangzhou", AccessKeyID: …}
		New:   newAt.GatewayConfig(),
		Keys:  kmsmigrate.KeyMap{Keys: map[string]string{"alias/app": "alias/app-2026"}},
	})
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = transport.Close() }()

	client := must(oldAt.SDKClient())
	client.SetTransport(transport) // the line

	blob := application(client, "")
	for _, next := range []kmsmigrate.Phase{kmsmigrate.ReadBoth, kmsmigrate.WriteNew} {
		if err := phase.Set(next); err != nil {
			log.Fatal(err)
		}
		application(client, blob)
	}
	stats := transport.Stats()
	fmt.Println(stats.Old, "calls to the old side,", stats.New, "to the new one")
	// Output:
	// encrypted
	// read: hello
	// encrypted
	// read: hello
	// encrypted
	// 4 calls to the old side, 1 to the new one
}

// application knows nothing of a migration.
func application(client *kms.Client, stored string) (blob string) {
	if stored != "" {
		request := kms.CreateDecryptRequest()
		request.CiphertextBlob = stored
		fmt.Println("read:", must(client.Decrypt(request)).Plaintext)
	}
	request := kms.CreateEncryptRequest()
	request.KeyId, request.Plaintext = "alias/app", "hello"
	answer := must(client.Encrypt(request))
	fmt.Println("encrypted")
	return answer.CiphertextBlob
}

func must[T any](value T, err error) T {
	if err != nil {
		log.Fatal(err)
	}
	return value
}

// An application that declares what it needs as an interface, or its variable as *shim.Client, gives up nothing of the official client.
func ExampleClient() {
	cloud, err := kmstest.Start(kmstest.Config{})
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = cloud.Close() }()
	oldAt, newAt := must(cloud.Region("cn-hangzhou")), must(cloud.Region("cn-shanghai"))
	must(oldAt.CreateKey(kmstest.KeySpec{Alias: "alias/app"}))
	must(newAt.CreateKey(kmstest.KeySpec{Alias: "alias/app-2026"}))
	client := must(shim.NewMigratingClient(shim.Config{
		Phase: kmsmigrate.WriteNew, Old: oldAt.GatewayConfig(), New: newAt.GatewayConfig(), Keys: kmsmigrate.KeyMap{Default: "alias/app-2026"},
	}))
	defer func() { _ = client.Close() }()

	request := kms.CreateGenerateDataKeyRequest()
	request.KeyId = "alias/app"
	answers, failures := client.GenerateDataKeyWithChan(request)
	if err := <-failures; err != nil {
		log.Fatal(err)
	}
	fmt.Println(len((<-answers).Plaintext), "characters of a data key")
	// Output:
	// 44 characters of a data key
}

// An application in any language points its SDK at a socket or a loopback address and signs with an access key that exists nowhere else.
func ExampleHandler() {
	cloud, err := kmstest.Start(kmstest.Config{})
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = cloud.Close() }()
	oldAt, newAt := must(cloud.Region("cn-hangzhou")), must(cloud.Region("cn-shanghai"))
	must(oldAt.CreateKey(kmstest.KeySpec{Alias: "alias/app"}))
	must(newAt.CreateKey(kmstest.KeySpec{Alias: "alias/app-2026"}))
	handler := must(shim.NewHandler(
		shim.Config{Phase: kmsmigrate.WriteNew, Old: oldAt.GatewayConfig(), New: newAt.GatewayConfig(), Keys: kmsmigrate.KeyMap{Default: "alias/app-2026"}},
		shim.Caller{AccessKeyID: "orders", AccessKeySecret: "made-up-for-orders", Actions: []string{"Encrypt"}, Keys: []string{"alias/app"}},
	))
	defer func() { _ = handler.Close() }()
	listener := must(shim.Listen(context.Background(), "127.0.0.1:0"))
	server := &http.Server{Handler: handler, ReadHeaderTimeout: 5 * time.Second}
	defer func() { _ = server.Close() }()
	go func() { _ = server.Serve(listener) }()

	// The application.
	transport := &http.Transport{}
	defer transport.CloseIdleConnections()
	client := must(kms.NewClientWithOptions("cn-hangzhou", sdk.NewConfig().WithHttpTransport(transport), credentials.NewAccessKeyCredential("orders", "made-up-for-orders")))
	client.Domain = listener.Addr().String()
	request := kms.CreateEncryptRequest()
	request.KeyId, request.Plaintext = "alias/app", "hello"
	fmt.Println(must(client.Encrypt(request)).IsSuccess())
	request.KeyId = "alias/payroll"
	_, err = client.Encrypt(request)
	var refused *sdkerrors.ServerError
	fmt.Println(errors.As(err, &refused), refused.ErrorCode())
	// Output:
	// true
	// true Forbidden.NoPermission
}
